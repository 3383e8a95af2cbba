"""app/outbound."""
