"""app/records."""
