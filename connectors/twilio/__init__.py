"""What the two connectors that speak with Twilio share: its signature, its REST API, its errors, its message list.

A thin client of ours on the shared session, for the reasons in docs/decisions/0010-client-libraries.md.
"""
