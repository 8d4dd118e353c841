"""Puts the rooms together: the command line, the supervised processes and the ports' adapters."""
