"""Serve a tenant over real HTTP on loopback, on a thread and a loop of its own."""

import asyncio
import socket
import threading
from types import TracebackType
from typing import Self

import uvicorn

from sandbox.callouts import Callouts
from sandbox.gate import Gate
from sandbox.graph_http import GRAPH, LOGIN
from sandbox.http import Wrap, create_app
from sandbox.reads import BASE
from sandbox.tenant import Tenant

HOST = "127.0.0.1"
START_TIMEOUT = 10.0


class _Config(uvicorn.Config):
    """Leave the process's loggers alone: another server may run in it."""

    def configure_logging(self) -> None:
        """Do nothing."""


class _Server(uvicorn.Server):
    """Stop at once: tests start and stop many of these, and need no last answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stopping = asyncio.Event()

    async def main_loop(self) -> None:
        """Wait for the end, instead of looking for it ten times a second."""
        await self.on_tick(0)
        await self.stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close listeners and connections without waiting for either."""
        # asyncio leaks a connection that was accepted in the turn in which its server is closed.
        for listener in sockets or []:
            asyncio.get_running_loop().remove_reader(listener)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        # A connection that was just accepted is made, and one that was aborted ended, only in the
        # next turns of the loop.
        for _ in range(5):
            for connection in list(self.server_state.connections):
                connection.transport.abort()
            await asyncio.sleep(0)
        await asyncio.gather(*self.server_state.tasks, return_exceptions=True)


class SandboxServer:
    """Run a sandbox as a context manager; `wrap` goes around the API, e.g. a contract checker.

    On 127.0.0.1 only; port 0 takes a free one. `callouts` delivers the tenant's webhooks while
    the server runs. Raises OSError when the port is taken.
    """

    def __init__(self, tenant: Tenant, port: int = 0, wrap: Wrap | None = None) -> None:
        self.tenant = tenant
        self.callouts = Callouts(tenant)
        self._wrap = wrap
        self._wanted_port = port
        self._port = 0
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Origin of the server, for /sandbox/… too."""
        return f"http://{HOST}:{self._port}"

    @property
    def api_url(self) -> str:
        """AUTOTASK_API_URL for a client; /v1.0/… follows it."""
        return f"{self.url}{BASE}"

    @property
    def zone_url(self) -> str:
        """Address of the zone look-up, to be asked with `?user=`; it names this server."""
        return f"{self.api_url}/v1.0/zoneInformation"

    @property
    def graph_url(self) -> str:
        """GRAPH_URL for a client."""
        return f"{self.url}{GRAPH}"

    @property
    def login_url(self) -> str:
        """GRAPH_LOGIN_URL for a client."""
        return f"{self.url}{LOGIN}"

    def __enter__(self) -> Self:
        """Bind the port and start; return when requests are accepted."""
        listener = socket.create_server((HOST, self._wanted_port), backlog=512)
        # Accepted sockets inherit it. asyncio sets it only where the protocol number is given, and
        # without it Nagle and delayed ACK make every answer wait 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._port = listener.getsockname()[1]
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listener)), name="sandbox", daemon=True
        )
        self._thread.start()
        if not self._ready.wait(START_TIMEOUT):
            raise RuntimeError("the sandbox did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop at once; connections are cut, callouts not yet delivered stay in the outbox."""
        if self._loop is not None and self._server is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._server.stopping.set)
        if self._thread is not None:
            self._thread.join()

    async def _serve(self, listener: socket.socket) -> None:
        gate = Gate(self.tenant)
        app = create_app(self.tenant, gate, self._wrap)
        config = _Config(
            app, http="h11", ws="none", lifespan="off", access_log=False, log_config=None
        )
        self._loop, self._server = asyncio.get_running_loop(), _Server(config)
        self.callouts.start()
        self._loop.call_soon(self._ready.set)
        serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        try:
            await self._server.stopping.wait()
        finally:
            await gate.close()
            await self.callouts.stop()
            await serving
