"""A PostgreSQL server of our own, for trials, the demo and tests."""
