"""What keeps a deployment healthy: comparison, webhook, checks, doctor, watch."""
