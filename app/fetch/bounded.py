"""Answers of other servers, read up to a size that is counted as they are decompressed."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from contextlib import aclosing

import httpx

MOST = 32 * 1024 * 1024
"""Bytes of an answer that are read at most. A page of 500 tickets whose texts are long has about a
quarter of it."""

_ENCODINGS = frozenset(("gzip", "x-gzip", "deflate"))
_ANY_HEADER = zlib.MAX_WBITS | 32  # gzip or zlib: what servers mean by "deflate" differs


class TooMuch(httpx.HTTPError):
    """The answer has more bytes than are read; the rest was not read."""


async def fetch(
    http: httpx.AsyncClient, request: httpx.Request, most: int | None = None, *, plain: bool = False
) -> httpx.Response:
    """Send a request and return its answer, read; redirects are not followed.

    Raise TooMuch for more than `most` bytes (None: MOST), and httpx.DecodingError for an encoding
    that was not requested; with `plain` none is. The caller limits the time.
    """
    request.headers["Accept-Encoding"] = "identity" if plain else "gzip"
    response = await http.send(request, stream=True, follow_redirects=False)
    async with aclosing(response):
        named = response.headers.pop("Content-Encoding", "identity").strip().lower()
        if named != "identity" and (plain or named not in _ENCODINGS):
            raise httpx.DecodingError("the answer is compressed in a way that was not requested")
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Bounded(response.stream, most or MOST, encoded=named != "identity")
        await response.aread()
    return response


class _Bounded(httpx.AsyncByteStream):
    """A body that is decompressed piece by piece.

    httpx expands each piece that it receives as a whole: 64 kB of gzip within gzip make 64 GB.
    """

    def __init__(self, inner: httpx.AsyncByteStream, most: int, *, encoded: bool) -> None:
        self._inner = inner
        self._left = most
        self._expand = zlib.decompressobj(_ANY_HEADER) if encoded else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        raw = b""
        async for raw in self._inner:
            piece = raw if self._expand is None else self._expanded(self._expand, raw)
            self._left -= len(piece)
            if self._left < 0:
                raise TooMuch("the answer has more bytes than are read")
            yield piece
        if raw and self._expand is not None and not self._expand.eof:
            raise httpx.DecodingError("the answer's compressed body is cut off")

    def _expanded(self, expand: zlib._Decompress, raw: bytes) -> bytes:
        """Return what a piece expands to, or one byte more than may still be read."""
        try:
            return expand.decompress(raw, self._left + 1)
        except zlib.error as error:
            raise httpx.DecodingError("the answer's compressed body is damaged") from error

    async def aclose(self) -> None:
        """Close the connection's stream."""
        await self._inner.aclose()
