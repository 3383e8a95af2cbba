"""app/db."""
