"""The commands, each a thin layer over what the rooms below do; mainstem/cli.py lists them."""
