"""One file a step of the schema, oldest to newest by number."""
