"""Serve a Microsoft 365 tenant: tokens below /login, messages below /graph.

It is strict: what Graph refuses, or was not seen to take, is refused.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode
from uuid import UUID

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sandbox.graph import Mail, MailFault, MailSystem, as_json
from sandbox.graph_query import InvalidQueryError, Query, parse_query

GRAPH, LOGIN = "/graph", "/login"
_TEXTS = {
    90002: "Tenant not found. Check to make sure you have the correct tenant ID.",
    900023: "Specified tenant identifier is neither a valid DNS name nor a valid external domain.",
    900144: "The request body must contain the following parameter: 'grant_type'.",
    700016: "Application was not found in the directory.",
    7000215: "Invalid client secret provided.",
    7000222: "The provided client secret keys are expired.",
    70011: "The provided value for the input parameter 'scope' is not valid.",
}


def create_graph(mail: MailSystem) -> Starlette:
    """Return the application behind /graph and /login.

    POST /login/{tenant}/oauth2/v2.0/token
    GET /graph/v1.0/users/{mailbox}/messages
    """

    async def token(request: Request) -> Response:
        mail.calls["token"] += 1
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        if fault := mail.take_fault("token"):
            return _at_fault(fault)
        return _token(mail, request.path_params["tenant"], form, _origin(request))

    async def messages(request: Request) -> Response:
        mail.calls["messages"] += 1
        asked = dict(parse_qsl(request.url.query, keep_blank_values=True))
        mail.asked.append(asked)
        mailbox = request.path_params["mailbox"].lower()
        if refusal := _refuse(mail, request, mailbox):
            return refusal
        if not mail.enter(mailbox):
            message = "Application is over its MailboxConcurrency limit."
            wait = mail.switches.concurrency_retry_after
            return _error(429, "ApplicationThrottled", message, wait)
        try:
            await asyncio.sleep(mail.switches.latency)
            fault = mail.take_fault("messages", page="subject" in asked.get("$select", ""))
            if fault and fault.kind != "unreadable":
                return _at_fault(fault)
            status, answer = _messages(mail, mailbox, asked, _origin(request))
            messages = answer.get("value", [])
            await asyncio.sleep(mail.switches.message_seconds * len(messages))
            if fault:
                answer["value"] = [*messages, {"id": "AAMkADk0ZmE1odd="}]
            return JSONResponse(answer, status)
        finally:
            mail.leave(mailbox)

    return Starlette(
        routes=[
            Route(f"{LOGIN}/{{tenant}}/oauth2/v2.0/token", token, methods=["POST"]),
            Route(f"{GRAPH}/v1.0/users/{{mailbox}}/messages", messages, methods=["GET"]),
        ]
    )


def _token(mail: MailSystem, tenant: str, form: dict[str, str], origin: str) -> Response:
    """Answer with a token, or with the reason why not, numbers and statuses as Entra ID's.

    https://learn.microsoft.com/entra/identity-platform/reference-error-codes
    """
    no_tenant = tenant.lower() != mail.tenant_id
    client, secret = form.get("client_id", ""), form.get("client_secret")
    refusals = [
        (no_tenant and _is_guid(tenant), _oauth(400, "invalid_request", 90002)),
        (no_tenant, _oauth(400, "invalid_request", 900023)),
        (form.get("grant_type") != "client_credentials", _oauth(400, "invalid_request", 900144)),
        (client.lower() != mail.client_id, _oauth(400, "unauthorized_client", 700016)),
        (secret != mail.client_secret, _oauth(401, "invalid_client", 7000215)),
        (mail.switches.secret_expired, _oauth(401, "invalid_client", 7000222)),
        (form.get("scope") != f"{origin}{GRAPH}/.default", _oauth(400, "invalid_scope", 70011)),
    ]
    if refusal := next((answer for refused, answer in refusals if refused), None):
        return refusal
    life = mail.switches.token_seconds
    given = {"token_type": "Bearer", "expires_in": life, "ext_expires_in": life}
    return JSONResponse({**given, "access_token": mail.issue_token()})


def _refuse(mail: MailSystem, request: Request, mailbox: str) -> Response | None:
    """Check the token, then whether there is such a mailbox and the application may read it."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not token:
        return _error(401, "InvalidAuthenticationToken", "Access token is empty.")
    if not mail.is_good(token):
        message = "Lifetime validation failed, the token is expired."
        return _error(401, "InvalidAuthenticationToken", message)
    if mailbox not in mail.mailboxes:
        message = f"The requested user '{mailbox}' is invalid."
        return _error(404, mail.switches.missing_mailbox, message)
    if mailbox not in mail.in_scope:
        message = "Access is denied. Check credentials and try again."
        return _error(403, "ErrorAccessDenied", message)
    return None


def _messages(
    mail: MailSystem, mailbox: str, asked: dict[str, str], origin: str
) -> tuple[int, dict[str, Any]]:
    """Return status and body of the answer."""
    try:
        query = parse_query(asked)
    except InvalidQueryError as error:
        return 400, _error_body(error.code, str(error))
    with mail.lock:
        matching = query.sorted([m for m in mail.mailboxes[mailbox] if query.matches(m)])
    switches = mail.switches
    if switches.empty_first_page and "$skip" not in asked:
        size, next_skip = 0, 0
    else:
        size = min(query.top, switches.page_size)
        next_skip = query.skip + size
    # Only what is asked for beyond a page of several can overlap: a page of one would never end.
    overlap = 1 if switches.pages_overlap and size > 1 else 0
    page: dict[str, Any] = {
        "@odata.context": f"{origin}{GRAPH}/v1.0/$metadata#users('{mailbox}')/messages",
        "value": [_selected(m, query) for m in matching[query.skip : query.skip + size]],
    }
    if next_skip < len(matching):
        link_origin = switches.foreign_origin if switches.next_link == "foreign" else origin
        skip = next_skip - overlap
        if switches.next_link == "same":
            skip = query.skip
        elif switches.next_link == "cycle":
            skip = size if query.skip == 0 else 0
        again = urlencode({**asked, "$skip": skip}, quote_via=quote, safe="$")
        path = f"{GRAPH}/v1.0/users/{quote(mailbox)}/messages"
        page["@odata.nextLink"] = f"{link_origin}{path}?{again}"
    return 200, page


def _selected(mail: Mail, query: Query) -> dict[str, Any]:
    told = {k: v for k, v in as_json(mail).items() if query.selects(k)}
    return {"@odata.etag": f'W/"{mail.id[-8:]}"', "id": mail.id, **told}


def _at_fault(fault: MailFault) -> Response:
    if fault.kind in ("hang", "reset"):
        return _NoAnswer(reset=fault.kind == "reset")
    if fault.kind == "garbage":
        return HTMLResponse("<html><body>Sign in to the guest network</body></html>")
    status, code, message = {
        "throttled": (429, "TooManyRequests", "Too many requests."),
        "unavailable": (503, "ServiceUnavailable", "Please retry again later."),
        "timeout": (504, "GatewayTimeout", "The server did not answer in time."),
        "broken": (500, "ErrorInternalServerError", "An internal server error occurred."),
        "revoked": (401, "InvalidAuthenticationToken", "Access token has been revoked."),
    }[fault.kind]
    wait = fault.retry_after
    if fault.retry_in is not None:
        at = datetime.now(UTC) + timedelta(seconds=fault.retry_in)
        wait = format_datetime(at, usegmt=True)
    return _error(status, code, message, wait)


class _NoAnswer(Response):
    """Give no answer: wait until the client goes, or cut its connection."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, _send: Send) -> None:
        if self._reset:
            scope["sandbox"]["abort"]()
        while (await receive())["type"] != "http.disconnect":
            pass


def _error(status: int, code: str, message: str, wait: str | None = None) -> Response:
    headers = {"Retry-After": wait} if wait else None
    return JSONResponse(_error_body(code, message), status, headers)


def _error_body(code: str, message: str) -> dict[str, Any]:
    """Write an error as Graph does: https://learn.microsoft.com/graph/errors"""
    inner = {"date": "2026-11-23T12:00:00", "request-id": "e0ffa85c-07f2-4198-bcd4-9fc68c8c5cb7"}
    return {"error": {"code": code, "message": message, "innerError": inner}}


def _oauth(status: int, error: str, number: int) -> Response:
    text = f"AADSTS{number}: {_TEXTS[number]}\r\nTrace ID: 255d1aef\r\nCorrelation ID: aaaa0000"
    return JSONResponse(
        {"error": error, "error_description": text, "error_codes": [number]}, status
    )


def _origin(request: Request) -> str:
    host, port = request.scope["server"]
    return f"http://{host}:{port}"


def _is_guid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
