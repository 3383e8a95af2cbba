"""app/ops."""
