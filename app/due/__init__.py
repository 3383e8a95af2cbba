"""The queue: tickets and chores that are due, not jobs."""
