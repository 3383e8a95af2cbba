"""One request out, one answer in: bounded in time and in size."""

from __future__ import annotations

import asyncio

import httpx

from app.autotask.errors import NotSent, TooLarge, Unanswered
from app.fetch import bounded


async def send(
    http: httpx.AsyncClient, request: httpx.Request, seconds: float, most: int | None = None
) -> tuple[int, httpx.Headers, bytes]:
    """Send a request once and return the answer's status, headers and body.

    Raise NotSent if Autotask cannot have seen it; Unanswered if it may have, and the whole answer
    did not come within `seconds`, or is longer than any; TooLarge if the body has more than `most`
    bytes. With `most` an uncompressed answer is requested.
    """
    try:
        async with asyncio.timeout(seconds):
            response = await bounded.fetch(http, request, most, plain=most is not None)
            return response.status_code, response.headers, response.content
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise NotSent(f"no connection: {type(error).__name__}") from error
    except httpx.LocalProtocolError:
        # Its text and its cause quote the invalid header, which may be the secret.
        raise NotSent("the request cannot be written: see the credentials") from None
    except (bounded.TooMuch, httpx.DecodingError) as error:
        if most is not None and isinstance(error, bounded.TooMuch):
            raise TooLarge(f"more than {most} bytes") from error
        raise Unanswered(f"no answer that can be read: {error}") from error
    except (httpx.HTTPError, TimeoutError) as error:
        raise Unanswered(f"no answer: {type(error).__name__}") from error
