"""Our webhook at Autotask: made, read back, mended, removed, and its secret changed.

See docs/decisions/0012-webhook-care.md.
"""
