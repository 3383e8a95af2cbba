"""app/settings."""
