"""PostgreSQL: engine and sessions, schema, tables, and an embedded server for trials."""
