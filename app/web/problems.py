"""Errors as problem details (RFC 9457), with what to do next."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

_WORD = re.compile(r"[a-z_]{1,30}")  # a mistyped field's name, never an address


class Problem(Exception):
    """An error answer; the caller sees `detail`, which says what to do."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class ProblemDetails(BaseModel):
    """An error as RFC 9457 describes it."""

    model_config = ConfigDict(use_attribute_docstrings=True)
    type: str = "about:blank"
    title: str
    status: int
    detail: str
    """What is wrong, and what to do next."""
    errors: list[str] | None = None
    """For invalid input, one line per error."""


def response(
    status: int, detail: str, headers: dict[str, str] | None = None, errors: Any = None
) -> JSONResponse:
    """Return an answer with problem details."""
    body = ProblemDetails(
        title=HTTPStatus(status).phrase, status=status, detail=detail, errors=errors
    )
    return JSONResponse(
        body.model_dump(exclude_none=True),
        status,
        headers,
        media_type="application/problem+json",
    )


def install(app: FastAPI) -> None:
    """Answer every error of an app with problem details."""

    @app.exception_handler(Problem)
    async def _problem(_: Request, error: Problem) -> JSONResponse:
        return response(error.status, error.detail, error.headers)

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        return response(error.status_code, error.detail, dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def _input(_: Request, error: RequestValidationError) -> JSONResponse:
        errors = [_input_error(each) for each in error.errors()]
        return response(422, "The request is invalid; see `errors`.", errors=errors)


def _input_error(error: dict[str, Any]) -> str:
    """Return place and message. The input may be an address: leave it out, and so extra names."""
    where = error["loc"]
    if error["type"] == "extra_forbidden" and not _WORD.fullmatch(str(where[-1])):
        where = where[:-1]
    message = error["msg"].removeprefix("Value error, ")
    return f"{'.'.join(str(part) for part in where)}: {message}"
