"""Put the parts together: the ASGI application, and the layer that can cut a connection."""

import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.gate import Gate
from sandbox.graph_http import GRAPH, LOGIN, create_graph
from sandbox.manual import create_manual
from sandbox.tenant import Tenant

Wrap = Callable[[ASGIApp], ASGIApp]


def create_app(tenant: Tenant, gate: Gate, wrap: Wrap | None = None) -> ASGIApp:
    """Return the sandbox's application: the API below `wrap`; Graph and /sandbox beside it."""
    api: ASGIApp = wrap(gate) if wrap else gate
    manual, graph = create_manual(tenant), create_graph(tenant.mail)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the sandbox serves HTTP only, not {scope['type']}")
        if scope["path"].startswith("/sandbox/"):
            await manual(scope, receive, send)
            return
        # `send` is still the server's own here; further in, layers may have wrapped it.
        scope["sandbox"] = {"abort": lambda: _abort(send)}
        if scope["path"].startswith((f"{GRAPH}/", f"{LOGIN}/")):
            await graph(scope, receive, send)
            return
        await api(scope, receive, send)

    return app


def _abort(send: Send) -> None:
    """Reset the TCP connection of a request.

    ASGI has no word for it, but `send` is a bound method of uvicorn's RequestResponseCycle, which
    keeps the connection's transport. Lingering for no time makes the kernel send RST, not FIN.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise RuntimeError("resets need uvicorn's h11 protocol around this application")
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):  # the client was faster
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
