"""The HTTP client against the sandbox: what each failure means, and where its zone is."""

from __future__ import annotations

import socket
import traceback
from dataclasses import replace
from math import inf
from typing import Any

import httpx
import pytest

from app.autotask import calls, zone
from app.autotask.client import Autotask, Credentials
from app.autotask.errors import (
    AutotaskError,
    Busy,
    Forbidden,
    Intercepted,
    NotSent,
    Overloaded,
    Refused,
    Unanswered,
    Unauthorized,
)
from app.autotask.zone import discover_zone
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.switches import Fault, FaultKind
from sandbox.tenant import Tenant
from tests.support.clients import NIA, SECRETS, Door, raw_server

# --- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "expected", "created"),
    [
        (Fault("error_500"), Unanswered, 0),
        (Fault("error_500_errors", text="No, thanks."), Refused, 0),
        (Fault("error_500_errors", text="Thread Threshold Exceeded"), Busy, 0),
        (Fault("error_500_errors", text="IntegrationCode is invalid."), Unauthorized, 0),
        (Fault("status_429", retry_after="17"), Overloaded, 0),
        (Fault("unauthorized"), Unauthorized, 0),
        (Fault("forbidden"), Forbidden, 0),
        (Fault("garbage"), Intercepted, 0),
        (Fault("reset_before"), Unanswered, 0),
        (Fault("reset_after"), Unanswered, 1),
        (Fault("hang_before"), Unanswered, 0),
        (Fault("hang_after"), Unanswered, 1),
        (Fault("late_commit"), Unanswered, 0),
        (Fault("late_commit", silent=True), Unanswered, 0),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else None,
)
async def test_what_each_failure_means(
    autotask: Autotask,
    tenant: Tenant,
    people: Seed,
    door: Door,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    expected: type[AutotaskError],
    created: int,
) -> None:
    """Sent once, its slot given back, no credential in the error, and the next call works."""
    if fault.kind.startswith("hang") or fault.silent:
        monkeypatch.setattr(calls, "REQUEST_SECONDS", 1.0)
    tenant.faults.add(replace(fault))

    with pytest.raises(AutotaskError) as caught:
        await autotask.create_contact(people.alpine, NIA, inf)

    assert type(caught.value) is expected
    assert len(tenant.contacts_with(NIA.email)) == created
    assert tenant.count("POST") == 1
    assert door.inside == 0
    assert str(caught.value).startswith("POST Contacts: ")
    shown = "".join(traceback.format_exception(caught.value))
    assert not any(secret in shown for secret in SECRETS)
    assert await autotask.contact(people.ana)


async def test_busy_says_for_how_long(autotask: Autotask, tenant: Tenant) -> None:
    """What the header said, None without one."""
    tenant.faults.add(Fault("status_429", retry_after="17"), Fault("status_429"))
    for expected in (17.0, None):
        with pytest.raises(Overloaded) as caught:
            await autotask.contact(1)
        assert caught.value.retry_after == expected


@pytest.mark.parametrize("wrong", ["username", "secret", "integration_code"])
@pytest.mark.parametrize("status", [401, 500])
async def test_wrong_credentials_are_told_apart_from_anything_else(
    autotask: Autotask, tenant: Tenant, wrong: str, status: Any
) -> None:
    """Documented 401, seen 500 with a text."""
    tenant.switches.bad_user = tenant.switches.bad_integration_code = status
    setattr(tenant, wrong, "changed at Autotask")
    with pytest.raises(Unauthorized):
        await autotask.contact(1)


async def test_a_refused_connection_was_not_sent(
    http: httpx.AsyncClient, credentials: Credentials, door: Door
) -> None:
    """Nothing listens there: it may be sent again."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    autotask = Autotask(http, f"http://127.0.0.1:{port}/x", credentials, door)
    with pytest.raises(NotSent):
        await autotask.create_contact(1, NIA, inf)
    assert door.inside == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(
    http: httpx.AsyncClient, credentials: Credentials, status: int
) -> None:
    """The credentials stay with the host that they are for."""
    answer = f"HTTP/1.1 {status} Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(answer.encode()) as (url, asked):
        with pytest.raises(Unanswered):
            await Autotask(http, url, credentials, Door()).contact(1)
    assert len(asked) == 1


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"])
async def test_what_is_no_http_is_no_answer(
    http: httpx.AsyncClient, credentials: Credentials, answer: bytes
) -> None:
    """A connection that ends early, something else on the port."""
    async with raw_server(answer) as (url, _):
        with pytest.raises(Unanswered):
            await Autotask(http, url, credentials, Door()).contact(1)


def test_credentials_do_not_show(credentials: Credentials) -> None:
    """Not in a repr, which ends up in tracebacks of others."""
    assert not any(secret in f"{credentials!r} {credentials}" for secret in SECRETS)


@pytest.mark.parametrize("ending", ["\n", " "])
async def test_a_secret_that_is_no_header_does_not_show_either(
    http: httpx.AsyncClient, server: SandboxServer, ending: str
) -> None:
    """A secret file's last line end, a pasted blank: the request does not even leave."""
    credentials = Credentials("user", f"hunter2{ending}", "code")
    with pytest.raises(AutotaskError) as caught:
        await Autotask(http, server.api_url, credentials, Door()).contact(1)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


async def test_a_request_that_cannot_be_written_was_not_sent(
    http: httpx.AsyncClient, server: SandboxServer
) -> None:
    """h11 refuses it before a byte has left, so a create must not wait for its outcome."""
    credentials = Credentials("user", "hunter2\n", "code")
    with pytest.raises(NotSent):
        await Autotask(http, server.api_url, credentials, Door()).create_contact(1, NIA, inf)


# --- zones ---------------------------------------------------------------------------------------


@pytest.fixture
def zones(server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the sandbox answer for Autotask's zones."""
    monkeypatch.setattr(zone, "_ZONES", server.api_url)


async def test_a_zone_is_found_by_the_user_alone(
    http: httpx.AsyncClient, tenant: Tenant, zones: None
) -> None:
    """No credentials are sent before it is known where to."""
    tenant.switches.zone_url = "https://webservices5.autotask.net/ATServicesRest/"
    zone = await discover_zone(http, tenant.username.upper())
    assert zone.url == "https://webservices5.autotask.net/ATServicesRest/"
    assert zone.web_url.startswith("http")


@pytest.mark.parametrize("url", ["https://evil.example/ATServicesRest/", None])
async def test_a_zone_elsewhere_is_refused(
    http: httpx.AsyncClient, tenant: Tenant, zones: None, url: str | None
) -> None:
    """A server that answers under Autotask's name cannot send our credentials elsewhere."""
    tenant.switches.zone_url = url
    with pytest.raises(Unanswered):
        await discover_zone(http, tenant.username)


async def test_an_unknown_user_has_no_zone(http: httpx.AsyncClient, zones: None) -> None:
    """Autotask says so with status 500."""
    with pytest.raises(Unauthorized):
        await discover_zone(http, "nobody@northwind-msp.example")


@pytest.mark.parametrize("kind", ["error_500", "garbage", "reset_before"])
async def test_a_zone_that_cannot_be_asked_is_unanswered(
    http: httpx.AsyncClient, tenant: Tenant, zones: None, kind: FaultKind
) -> None:
    """As any other call."""
    tenant.faults.add(Fault(kind))
    with pytest.raises(Unanswered):
        await discover_zone(http, tenant.username)
