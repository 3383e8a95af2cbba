"""app/records/ledger."""
