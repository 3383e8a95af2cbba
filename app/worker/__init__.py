"""app/worker."""
