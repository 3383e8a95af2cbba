"""HTTP in: callouts, health, and the admin API."""
