"""The desk in the browser: server-rendered pages, live over server-sent events."""
