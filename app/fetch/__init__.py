"""One answer of another server, bounded; for vendors, which import nothing else of app."""
