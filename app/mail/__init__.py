"""Mail that strangers wrote, read safely. Pure: no input or output."""
