"""Alembic's environment; run through crm_store.migrate, which hands in the connection."""

from __future__ import annotations

from alembic import context

from crm_store.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, compare_type=False)
with context.begin_transaction():
    context.run_migrations()
