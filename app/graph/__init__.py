"""Microsoft Graph, as much of it as finds a message in a mailbox: client, models, errors.

It imports nothing else of this product; settings arrive as arguments.
"""
