"""Autotask PSA's REST API: its rules without I/O (protocol, models, errors) and a client.

It imports nothing else of this product; settings arrive as arguments.
"""
