"""The key of the admin API, checked before anything of the request is parsed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from fastapi import Request, Response
from fastapi.routing import APIRoute

from app.services import Services
from app.settings.keys import Role, find_key
from app.web.problems import Problem

_ALLOWED: dict[str, tuple[Role, ...]] = {"GET": ("read", "write")}
_WRITERS: tuple[Role, ...] = ("write",)


MAX_BODY = 4 * 1024 * 1024
"""Bytes: room for three full lists of a policy with each character escaped."""


def _require_small(request: Request) -> None:
    """Refuse a large body before it is read: it would be held in memory as a whole."""
    if "transfer-encoding" in request.headers:
        raise Problem(411, "Send the body with a Content-Length.")
    length = request.headers.get("content-length", "0")
    if not (length.isdecimal() and len(length) < 10 and int(length) <= MAX_BODY):
        raise Problem(413, f"A request has at most {MAX_BODY} bytes.")


class AdminRoute(APIRoute):
    """A route that checks the key before anything of the request is parsed."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return a handler that checks the key, then calls the route's own."""
        handle = super().get_route_handler()

        async def authenticated(request: Request) -> Response:
            services: Services = request.app.state.services
            key = find_key(services.settings.api_keys, request.headers.get("authorization"))
            if key is None:
                raise Problem(
                    401,
                    "Send a key of API_KEYS as `Authorization: Bearer <key>`.",
                    WWW_Authenticate="Bearer",
                )
            if key.role not in _ALLOWED.get(request.method, _WRITERS):
                raise Problem(
                    403, f"The key `{key.name}` has the role `{key.role}`; that is not enough."
                )
            _require_small(request)
            request.state.key = key.name
            with structlog.contextvars.bound_contextvars(key=key.name):
                return await handle(request)

        return authenticated
