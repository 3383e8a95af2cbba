"""One request out, one answer in: bounded in time and, where asked, in size."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import httpx

from app.autotask.errors import NotSent, TooLarge, Unanswered


async def send(
    http: httpx.AsyncClient, request: httpx.Request, seconds: float, most: int | None = None
) -> tuple[int, httpx.Headers, bytes]:
    """Send a request once and return the answer's status, headers and body.

    Raise NotSent if Autotask cannot have seen it; Unanswered if it may have, and the whole answer
    did not come within `seconds`; TooLarge if the body has more than `most` bytes.
    """
    if most is not None:
        request.headers["Accept-Encoding"] = "identity"
    try:
        async with asyncio.timeout(seconds):
            response = await http.send(request, stream=True)
            async with aclosing(response):
                body = await response.aread() if most is None else await _read(response, most)
            return response.status_code, response.headers, body
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise NotSent(f"no connection: {type(error).__name__}") from error
    except httpx.LocalProtocolError:
        # Its text and its cause quote the invalid header, which may be the secret.
        raise NotSent("the request cannot be written: see the credentials") from None
    except (httpx.HTTPError, TimeoutError) as error:
        raise Unanswered(f"no answer: {type(error).__name__}") from error


async def _read(response: httpx.Response, most: int) -> bytes:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        # A few bytes can expand to any size, and an uncompressed answer was requested.
        raise Unanswered("the answer is compressed")
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > most:
            raise TooLarge(f"more than {most} bytes")
    return bytes(body)
