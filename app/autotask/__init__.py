"""Autotask PSA's REST API: its rules without I/O (protocol, models, errors) and a client.

Nothing of the rest of this product is imported here; settings arrive as arguments.
"""
