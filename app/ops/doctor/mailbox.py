"""Check the mailbox at Microsoft 365 directly; the service's own record of it stays as it is."""

from __future__ import annotations

from collections.abc import Sequence

from app.graph.errors import GraphError
from app.ops.checks.problem import CURES
from app.ops.doctor.deployment import Deployment
from app.ops.doctor.findings import Finding, ok, problem


async def mailbox(deployment: Deployment) -> Sequence[Finding]:
    """Sign in and read one message's id."""
    if not deployment.services.mailbox.configured:
        return []  # `sources` says so
    try:
        await deployment.services.mailbox.probe()
    except GraphError as error:
        cure = f"{CURES[error.trouble]} See docs/setup/m365.md."
        return [problem(error.trouble, f"The mailbox cannot be read: {error}.", cure)]
    return [ok("mailbox", f"The mailbox {deployment.settings.graph_mailbox} can be read.")]
