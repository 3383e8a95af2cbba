"""Clients that are idle, slow, odd, or gone: what each kind sends, and waves of them."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass

_DRIP = 0.25  # seconds between two bytes of a slow client
_POST = b"POST /webhooks/autotask HTTP/1.1\r\nHost: x\r\n"


@dataclass(frozen=True, slots=True)
class Client:
    """What a kind of client sends at once, then byte by byte, and whether it leaves after that."""

    sends: bytes = b""
    drips: bytes = b""
    leaves: bool = False
    room: int | None = None
    """Bytes that its kernel keeps of an answer; None: as many as usual."""


KINDS = {
    "idle": Client(),
    "slow headers": Client(_POST, b"X-Slow: " + b"x" * 999),
    "slow bodies": Client(_POST + b"Content-Length: 262144\r\n\r\n" + b"x" * 200_000, b"x" * 999),
    "slow chunks": Client(_POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 199),
    "aborted": Client(_POST + b"Content-Length: 9999\r\n\r\nxyz", leaves=True),
    "gone before the answer": Client(_POST + b"Content-Length: 2\r\n\r\n{}", leaves=True),
    "not reading": Client(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n", room=2048),
    "no HTTP": Client(b"\x16\x03\x01\x02\x00" * 40),
    "huge headers": Client(_POST + b"X-Huge: " + b"x" * 99_999),
    "asking for health": Client(b"GET /health/work HTTP/1.1\r\nHost: x\r\n\r\n"),
}


async def wave(address: tuple[str, int], kind: Client, number: int, seconds: float) -> None:
    """Hold so many clients of a kind for some seconds, then close them."""
    clients: list[socket.socket] = []
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds

    async def live() -> None:
        client = socket.socket()
        clients.append(client)
        client.setblocking(False)
        if kind.room:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, kind.room)
        with suppress(OSError):
            await asyncio.wait_for(loop.sock_connect(client, address), seconds)
            await asyncio.wait_for(loop.sock_sendall(client, kind.sends), seconds)
            if kind.leaves:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                return
            for byte in kind.drips:
                if loop.time() > until:
                    return
                await asyncio.sleep(_DRIP)
                await loop.sock_sendall(client, bytes([byte]))
        with suppress(TimeoutError):
            await asyncio.sleep(max(0.0, until - loop.time()))

    await asyncio.gather(*(live() for _ in range(number)), asyncio.sleep(seconds))
    for client in clients:
        client.close()
