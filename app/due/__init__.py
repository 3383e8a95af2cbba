"""app/due."""
