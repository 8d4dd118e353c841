"""Reads the stream, attaches every event to a customer and a conversation, and decides its queue."""
