"""Admit or refuse API requests by credentials, limits and faults; then answer them."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from sandbox import oversized, rights
from sandbox.altered import ALTERED
from sandbox.calls import THREADS, Call
from sandbox.model import RefusedError
from sandbox.reads import Ask, DeniedError, NoRouteError
from sandbox.routes import entity_of, resolve
from sandbox.switches import Fault, FaultKind
from sandbox.tenant import Tenant

THREAD_TEXT = f"The Autotask API thread threshold of {THREADS} threads has been exceeded."
# https://www.autotask.net/help/developerhelp/Content/APIs/General/ThreadLimiting.htm exempts the
# zone; the list of versions knows no tenant.
_OPEN = ("zoneinformation", "versioninformation")
_SERVER_ERROR = "<html><head><title>Runtime Error</title></head><body>Server Error</body></html>"
_BLOCKED = (
    "<!DOCTYPE html><html><head><title>Web Page Blocked</title></head><body><h1>Blocked</h1>"
    "<p>Your request violates the policy of this network. Incident 7000-42.</p></body></html>"
)
_GARBAGE = "<html><body><h1>We'll be back soon</h1></body></html>"

_Outcome = Callable[[], Response]


class Gate:
    """The API below /ATServicesRest as an ASGI application.

    `scope["sandbox"]` is a dict shared with the layers around: `abort` ends the connection hard,
    and `off_contract` is set when the answer is meant to break the published contract.
    """

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._late: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    async def close(self) -> None:
        """End what hangs and forget late commits; call it on the server's loop."""
        self._closing.set()
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        raw = await _read(receive)
        if raw is None:
            return
        method, path = scope["method"], scope["path"]
        entity = entity_of(path)
        body = _parsed(raw)
        call = self._tenant.record(method, path, entity, body)
        response = None if _is_open(entity) else self._refuse(Headers(scope=scope), scope)
        if response is None and raw and not _says_json(scope):
            response = _message(415, "The request entity's media type is not supported.")
        if response is None:
            # What is no JSON goes on as bytes, and every handler refuses it.
            response = await self._work(call, scope, receive, raw if raw and body is None else body)
        if response is not None:
            call.status = response.status_code
            await response(scope, receive, send)

    def _refuse(self, headers: Headers, scope: Scope) -> Response | None:
        """Check credentials, then count the request; return the refusal, if any.

        Statuses: the help page REST_Security_Auth.htm says 401; switches tell what was seen.
        """
        tenant, switches = self._tenant, self._tenant.switches
        user, secret, code = (
            headers.get(name, "") for name in ("UserName", "Secret", "ApiIntegrationCode")
        )
        wrong_user = bool(user) and user.lower() != tenant.username.lower()
        wrong_code = bool(code) and code != tenant.integration_code
        if wrong_user and switches.bad_user == 500:
            return self._errors(500, scope, switches.texts["bad_user"])
        if wrong_user or not user or not code or secret != tenant.secret:
            return _unauthorized()
        if wrong_code and switches.bad_integration_code == 500:
            return self._errors(500, scope, "IntegrationCode is invalid.")
        if wrong_code:
            return _unauthorized()
        if not tenant.charge():
            return self._errors(switches.request_limit, scope, switches.texts["request_limit"])
        return None

    async def _work(self, call: Call, scope: Scope, receive: Receive, body: Any) -> Response | None:
        """Take a thread and answer, or let a fault happen; None when the connection was ended."""
        tenant, limited = self._tenant, not _is_open(call.entity)
        if limited and not tenant.enter(call.entity):
            return self._errors(tenant.switches.thread_limit, scope, THREAD_TEXT)
        busy_later = False
        try:
            await asyncio.sleep(tenant.faults.delay() + self._threshold_latency())
            sent = "" if body is None else json.dumps(body, ensure_ascii=False, default=repr)
            fault = tenant.faults.take(call.method, call.entity, call.path, sent)
            if fault and fault.kind == "no_effect":
                return self._outcome(call, scope, _without(body, fault.fields))()
            outcome = self._outcome(call, scope, body)
            if fault is None:
                return outcome()
            scope["sandbox"]["off_contract"] = fault.kind
            if fault.kind.endswith("_after"):
                outcome()
            elif fault.kind in ALTERED:
                await asyncio.sleep(fault.seconds if fault.kind == "slow" else 0)
                return ALTERED[fault.kind](outcome(), scope)
            elif fault.kind == "late_commit":
                busy_later = limited and tenant.switches.late_commit_holds_thread
                self._commit_later(call.entity, fault.seconds, outcome, leave=busy_later)
        finally:
            if limited and not busy_later:
                tenant.leave(call.entity)
        if fault.kind in _ANSWERS:
            return _ANSWERS[fault.kind](self, fault, scope)
        if fault.kind.startswith("hang") or fault.silent:
            await self._hang(receive, fault.seconds)
        await _reset(scope, receive)
        return None

    def _outcome(self, call: Call, scope: Scope, body: Any) -> _Outcome:
        tenant = self._tenant

        def outcome() -> Response:
            host, port = scope["server"]
            try:
                handler, entity, ids = resolve(call.method, call.path)
                ask = Ask(
                    tenant=tenant,
                    method=call.method,
                    entity=entity,
                    ids=ids,
                    params=_params(scope),
                    body=body,
                    origin=f"http://{host}:{port}",
                )
                tenant.before_call(call)
                if text := rights.refusal(tenant, call.method, call.path, call.entity):
                    if tenant.switches.denied == "status_403":
                        raise DeniedError
                    raise RefusedError(text)
                with tenant.lock:
                    tenant.observe()
                    try:
                        return JSONResponse(handler(ask))
                    finally:
                        tenant.observe()
            except RefusedError as refused:
                return self._errors(500, scope, *refused.texts)
            except DeniedError:
                return Response(status_code=403)
            except NoRouteError as missing:
                return _message(missing.status, missing.message)

        return outcome

    def _commit_later(self, entity: str, seconds: float, outcome: _Outcome, *, leave: bool) -> None:
        async def commit() -> None:
            await asyncio.sleep(seconds)
            outcome()

        def done(task: asyncio.Task[None]) -> None:
            self._late.discard(task)
            if leave:
                self._tenant.leave(entity)

        task = asyncio.create_task(commit())
        self._late.add(task)
        task.add_done_callback(done)

    async def _hang(self, receive: Receive, seconds: float) -> None:
        """Wait until the client has gone, the server closes, or the time is over."""
        waits = [
            asyncio.ensure_future(_disconnected(receive)),
            asyncio.ensure_future(self._closing.wait()),
        ]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    def _threshold_latency(self) -> float:
        tenant = self._tenant
        used = tenant.requests_used() / tenant.request_limit
        return used if tenant.switches.threshold_latency and used >= 0.5 else 0.0

    def _errors(self, status: int, scope: Scope, *texts: str) -> Response:
        members: list[Any] = list(texts)
        if self._tenant.switches.error_style == "objects":
            scope["sandbox"]["off_contract"] = "error_style"
            members = [{"message": text} for text in texts]
        return JSONResponse({"errors": members}, status)


def _is_open(entity: str) -> bool:
    return entity.lower() in _OPEN


def _says_json(scope: Scope) -> bool:
    return "json" in Headers(scope=scope).get("content-type", "")


def _too_many(_gate: Gate, fault: Fault, _scope: Scope) -> Response:
    headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
    return Response(status_code=429, headers=headers)


def _answer(_gate: Gate, fault: Fault, _scope: Scope) -> Response:
    kind = "application/json" if _parsed(fault.text.encode()) is not None else "text/html"
    return Response(fault.text, fault.status or 200, media_type=kind)


def _without(body: Any, fields: tuple[str, ...]) -> Any:
    """Leave out of a body what is to have no effect; its ids stay."""
    if not isinstance(body, dict):
        return body
    names = {name.lower() for name in fields}
    return {
        name: value
        for name, value in body.items()
        if name.lower() == "id" or (names and name.lower() not in names)
    }


_ANSWERS: dict[FaultKind, Callable[[Gate, Fault, Scope], Response]] = {
    "error_500": lambda _gate, _fault, _scope: HTMLResponse(_SERVER_ERROR, 500),
    "error_500_errors": lambda gate, fault, scope: gate._errors(500, scope, fault.text),
    "status_429": _too_many,
    "unauthorized": lambda _gate, _fault, _scope: _unauthorized(),
    "forbidden": lambda _gate, _fault, _scope: Response(status_code=403),
    "firewall": lambda _gate, fault, _scope: HTMLResponse(_BLOCKED, fault.status or 403),
    "firewall_after": lambda _gate, fault, _scope: HTMLResponse(_BLOCKED, fault.status or 403),
    "answer": _answer,
    "answer_after": _answer,
    "garbage": lambda _gate, _fault, _scope: HTMLResponse(_GARBAGE),
    "bomb": lambda _gate, _fault, _scope: oversized.bomb(),
    "drip": lambda _gate, fault, _scope: oversized.Drip(fault.seconds),
}


def _unauthorized() -> Response:
    return Response(status_code=401, headers={"WWW-Authenticate": "Basic"})


def _message(status: int, message: str) -> Response:
    return JSONResponse({"Message": message}, status)


def _params(scope: Scope) -> dict[str, str]:
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return {name.lower(): value for name, value in pairs}


def _parsed(raw: bytes) -> Any:
    with suppress(ValueError):
        return json.loads(raw)
    return None


async def _read(receive: Receive) -> bytes | None:
    """Read the body; None when the client went before all of it had come."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _reset(scope: Scope, receive: Receive) -> None:
    scope["sandbox"]["abort"]()
    # Until the connection is seen to be lost, returning without an answer would count as a bug.
    await _disconnected(receive)
