"""app/mail."""
