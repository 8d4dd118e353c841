"""Who writes to us, and what they allow."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, Index, PrimaryKeyConstraint, String, Table, UniqueConstraint

from crm_store.schema.columns import Id, at, flag, key, metadata, words

customers = Table(
    "customers",
    metadata,
    key(),
    Column("brand_id", String(40), nullable=False),
    Column("kind", String(12), nullable=False, server_default="person"),  # person, organisation
    Column("stage", String(12), nullable=False, server_default="lead"),  # lead, customer
    words("name", default=""),
    Column("tier", String(40)),
    words("tags", default="[]"),  # JSON, sorted
    Column("language", String(12)),
    Column("preferred_channel", String(40)),
    words("notes", default=""),
    Column("merged_into", Id),
    at("created_at"),
    at("updated_at"),
    Column("by", String(80), nullable=False, server_default="system"),
)
Index("ix_customers_name", customers.c.brand_id, customers.c.name)

identities = Table(
    "identities",
    metadata,
    key(),
    Column("brand_id", String(40), nullable=False),
    Column("urn", String(400), nullable=False),
    Column("customer_id", Id, nullable=False),  # the only pointer from an address to a person
    flag("verified"),
    words("name", default=""),
    Column("trouble", String(40)),  # dead, full, blocked: why it should not be written to
    at("first_seen_at"),
    at("last_seen_at"),  # 1970: only claimed so far; else a time by which it was written from, not the last
    UniqueConstraint("brand_id", "urn"),
)
Index("ix_identities_customer_id", identities.c.customer_id)

merges = Table(
    "merges",
    metadata,
    key(),
    Column("survivor_id", Id, nullable=False),
    Column("merged_id", Id, nullable=False),
    words("why"),
    Column("by", String(80), nullable=False),
    at("at"),
    Column("undone_by", String(80)),
    at("undone_at", null=True),
)
Index("ix_merges_survivor_id", merges.c.survivor_id)
Index("ix_merges_merged_id", merges.c.merged_id)

merge_moves = Table(
    "merge_moves",
    metadata,
    Column("merge_id", Id, nullable=False),
    Column("identity_id", Id, nullable=False),
    Column("from_customer_id", Id, nullable=False),
    PrimaryKeyConstraint("merge_id", "identity_id"),
)
Index("ix_merge_moves_identity_id", merge_moves.c.identity_id)

merge_proposals = Table(
    "merge_proposals",
    metadata,
    key(),
    Column("one_id", Id, nullable=False),
    Column("other_id", Id, nullable=False),
    words("evidence"),  # JSON
    Column("score", Float, nullable=False),
    Column("state", String(10), nullable=False, server_default="waiting"),  # waiting, merged, refused
    at("at"),
    Column("by", String(80)),
    UniqueConstraint("one_id", "other_id"),
)
Index("ix_merge_proposals_other_id", merge_proposals.c.other_id)

consents = Table(
    "consents",
    metadata,
    Column("brand_id", String(40), nullable=False),
    Column("urn", String(400), nullable=False),
    Column("scope", String(20), nullable=False),
    Column("granted", Boolean, nullable=False),
    words("wording", default=""),
    Column("account", String(80)),
    at("at"),
    Column("by", String(80), nullable=False),
    PrimaryKeyConstraint("brand_id", "urn", "scope"),
)

consent_changes = Table(
    "consent_changes",  # every change, for the day somebody asks
    metadata,
    key(),
    Column("brand_id", String(40), nullable=False),
    Column("urn", String(400), nullable=False),
    Column("scope", String(20), nullable=False),
    Column("granted", Boolean, nullable=False),
    words("wording", default=""),
    Column("account", String(80)),
    at("at"),
    Column("by", String(80), nullable=False),
)
Index("ix_consent_changes_urn", consent_changes.c.urn)
