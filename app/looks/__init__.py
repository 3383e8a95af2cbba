"""app/looks."""
