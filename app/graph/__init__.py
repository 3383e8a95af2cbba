"""Microsoft Graph, as much of it as finds a message in a mailbox: client, models, errors.

Nothing of the rest of this product is imported here; settings arrive as arguments.
"""
