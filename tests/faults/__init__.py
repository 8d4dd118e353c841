"""Rows of the fault matrix, with real processes that are killed, frozen and starved."""
