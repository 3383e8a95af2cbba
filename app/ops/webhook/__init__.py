"""Our webhook at Autotask: install it, read it back, repair it, remove it, change its secret.

See docs/decisions/0012-webhook-care.md.
"""
