"""app/db/embedded."""
