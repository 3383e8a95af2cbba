"""The worker process: claims due tickets and chores, and works on them."""
