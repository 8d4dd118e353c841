"""One module a channel: verifies, parses and sends, and knows nothing of customers, queues or the store."""
