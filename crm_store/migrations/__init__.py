"""The schema's history, step by step, for SQLite and PostgreSQL alike."""
