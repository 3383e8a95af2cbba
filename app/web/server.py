"""The server around the application: its sockets, its limits, its end."""

from __future__ import annotations

import asyncio
import resource
import socket
import sys
from contextlib import ExitStack

import structlog
import uvicorn
from fastapi import FastAPI

from app.web.connections import LEAST, MOST, OTHER_DESCRIPTORS, Connection, Connections, Listener

log = structlog.get_logger()

_BACKLOG = 2048
_DESCRIPTORS = 4096
_EXIT_PORT_TAKEN = 3


class Server(uvicorn.Server):
    """Serve an application on all addresses of a host, with bounded connections."""

    server_state: Connections

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                backlog=_BACKLOG,
                http=Connection,
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=5,
            )
        )
        descriptors = _raise_descriptors()
        self.server_state = Connections(max(LEAST, min(MOST, descriptors - OTHER_DESCRIPTORS)))

    async def run_until_told(self) -> None:
        """Listen and serve until a signal; end the process with 3 if the port is taken."""
        where = f"{self.config.host}:{self.config.port}"
        try:
            listeners = listen(self.config.host, self.config.port, self.server_state)
        except OSError as error:
            log.error("cannot_listen", address=where, error=str(error).lower())
            sys.exit(_EXIT_PORT_TAKEN)
        log.info("listening", address=where)
        await self.serve(listeners)

    async def on_tick(self, counter: int) -> bool:
        """Look after the connections once a second; return whether the server is to end."""
        if counter % 10 == 0:
            self.server_state.sweep(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; who is being answered has five seconds, who is waited for none."""
        while self.server_state.make_room():
            pass
        await super().shutdown(sockets)


def listen(host: str, port: int, connections: Connections) -> list[socket.socket]:
    """Return a listening socket for each address of a host; raise OSError if one is taken."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with ExitStack() as stack:
        listeners: list[socket.socket] = []
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                listener = Listener(family, kind, protocol, connections=connections)
            except OSError:
                continue  # a name can have an IPv6 address where the machine has none
            listeners.append(stack.enter_context(listener))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
        stack.pop_all()
    return listeners


def _raise_descriptors() -> int:
    """Raise the number of descriptors that may be open as far as we may; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return _DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
