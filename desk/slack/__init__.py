"""Slack as a desk: a view of the store, over the same actions as every other surface."""
