"""Webhook care: ours is made, read back, mended, ended, and its secret changed.

See docs/decisions/0012-webhook-care.md.
"""

from app.webhook_care.compare import Line, Report
from app.webhook_care.install import install, remove, status
from app.webhook_care.parts import WebhookError
from app.webhook_care.read_back import Trouble, look_soon, read_back, trouble
from app.webhook_care.retired import is_retired
from app.webhook_care.rotate import rotate

__all__ = [
    "Line",
    "Report",
    "Trouble",
    "WebhookError",
    "install",
    "is_retired",
    "look_soon",
    "read_back",
    "remove",
    "rotate",
    "status",
    "trouble",
]
