"""The mailbox at Microsoft 365, asked directly: what the service has recorded stays as it is."""

from __future__ import annotations

from collections.abc import Sequence

from app.graph.client import Graph
from app.graph.errors import GraphError
from app.ops.checks.problem import CURES
from app.ops.doctor.deployment import Deployment
from app.ops.doctor.findings import Finding, ok, problem


async def mailbox(deployment: Deployment) -> Sequence[Finding]:
    """Sign in and read one message's id."""
    settings = deployment.settings
    credentials = settings.graph_credentials
    if "mailbox" not in settings.cc_sources or credentials is None:
        return []  # `sources` says so
    urls = {"url": settings.graph_url, "login_url": settings.graph_login_url}
    try:
        await Graph(deployment.services.http, credentials, **urls).check(
            settings.graph_mailbox or ""
        )
    except GraphError as error:
        cure = f"{CURES[error.trouble]} See docs/setup/m365.md."
        return [problem(error.trouble, f"The mailbox cannot be read: {error}.", cure)]
    return [ok("mailbox", f"The mailbox {settings.graph_mailbox} can be read.")]
