"""`python -m mainstem` is the same as the `mainstem` command."""

from mainstem.cli import main

main()
