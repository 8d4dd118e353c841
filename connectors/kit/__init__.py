"""What holds for every channel, as checks that anybody can run: `mainstem channel check NAME`, and our own tests.

It stands among the connectors because it knows what they may know and nothing more, and it ships with them, so that a
stranger's connector is held to the same. docs/adding-a-channel.md is the page for those who write one.
"""
