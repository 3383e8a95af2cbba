"""What every call to Autotask and Microsoft passes, over all processes."""
