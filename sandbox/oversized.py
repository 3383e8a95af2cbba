"""Answers that no client should read as a whole: a bomb, and one that comes drop by drop."""

import asyncio
import functools
import zlib
from contextlib import suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_MEGABYTE = b" " * 1024 * 1024
_DROP_SECONDS = 0.05


@functools.cache
def _bomb() -> bytes:
    squeeze = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    return b"".join(squeeze.compress(_MEGABYTE) for _ in range(64)) + squeeze.flush()


def bomb() -> Response:
    """Return an answer of 64 kilobytes that expands to 64 megabytes."""
    return Response(_bomb(), headers={"Content-Encoding": "gzip"}, media_type="application/json")


class Drip(Response):
    """Send the beginning of an answer, then a blank 20 times a second."""

    media_type = "application/json"

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Drip until the client has gone or the time is over."""
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        dripping = asyncio.create_task(_drip(send))
        with suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                while (await receive())["type"] != "http.disconnect":
                    pass
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)
        await send({"type": "http.response.body", "body": b""})


async def _drip(send: Send) -> None:
    while True:
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        await asyncio.sleep(_DROP_SECONDS)
