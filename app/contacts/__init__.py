"""app/contacts."""
