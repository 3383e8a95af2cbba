"""Around each request: its place among others, and its line in the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from structlog.testing import CapturingLogger

from app.web import requests, webhooks
from app.web.admin import tickets
from sandbox.callouts import SIGNATURE_HEADER, encode_callout, sign
from tests.conftest import SECRET

CALLOUT = encode_callout({"Action": "Create", "Guid": "g", "EntityType": "Ticket", "Id": 7})
SIGNED = {SIGNATURE_HEADER: sign(SECRET, CALLOUT)}


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    """What is logged of requests."""
    captured = CapturingLogger()
    monkeypatch.setattr(requests, "log", captured)
    return captured


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/health/live", 200),
        ("GET", "/", 200),
        ("GET", "/admin/tickets", 401),
        ("POST", "/webhooks/autotask", 401),
        ("PUT", "/webhooks/autotask", 405),
    ],
)
async def test_of_strangers_a_few_lines_are_written_each_minute(
    api: httpx.AsyncClient,
    logged: CapturingLogger,
    now: list[float],
    method: str,
    path: str,
    status: int,
) -> None:
    """The next line says how many were left out."""
    for _ in range(100):
        assert (await api.request(method, path)).status_code == status
    assert len(logged.calls) == requests._LINES
    now[0] += 60
    await api.request(method, path)
    assert logged.calls[-1].kwargs["left_out"] == 100 - requests._LINES
    assert len(logged.calls) == requests._LINES + 1


async def test_of_callouts_and_keys_every_line_is_written(
    api: httpx.AsyncClient, logged: CapturingLogger, reader: dict[str, str], now: list[float]
) -> None:
    """Whoever has proven to be known is answered for."""
    for _ in range(40):
        await api.post("/webhooks/autotask", content=CALLOUT, headers=SIGNED)
        await api.get("/admin/tickets", headers=reader)
    assert len(logged.calls) == 80


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of the log."""
    clock = [0.0]
    monkeypatch.setattr("app.settings.log.time.monotonic", lambda: clock[0])
    return clock


async def test_a_defect_is_not_traced_for_ever(
    api: httpx.AsyncClient,
    logged: CapturingLogger,
    reader: dict[str, str],
    now: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What happens to every request is said of thirty a minute."""

    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(tickets, "after_number", fail)
    for _ in range(50):
        assert (await api.get("/admin/tickets", headers=reader)).status_code == 500
    traced = [call for call in logged.calls if call.method_name == "exception"]
    assert len(traced) == requests._LINES


# --- places --------------------------------------------------------------------------------------


@pytest.fixture
def crowd(
    api: httpx.AsyncClient, reader: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], list[asyncio.Task[httpx.Response]]]:
    """Start as many requests as have a place; they are answered when this test ends."""

    async def wait(*_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(requests, "PLACE_SECONDS", 0.1)
    monkeypatch.setattr("app.web.health.schema_problem", wait)
    monkeypatch.setattr("app.web.health._PATIENCE_SECONDS", 60.0)

    def start(path: str) -> list[asyncio.Task[httpx.Response]]:
        return [asyncio.create_task(api.get(path, headers=reader)) for _ in range(20)]

    return start


async def test_other_requests_leave_room_for_callouts(
    api: httpx.AsyncClient, crowd: Callable[[str], list[asyncio.Task[httpx.Response]]]
) -> None:
    """Those that find no place in time are refused; callouts and `live` need none."""
    waiting = crowd("/health/ready")
    await asyncio.sleep(0.2)
    refused = [one.result() for one in waiting if one.done()]
    callout = await api.post("/webhooks/autotask", content=CALLOUT, headers=SIGNED)
    live = await api.get("/health/live")
    other = await api.get("/")
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    assert [answer.status_code for answer in refused] == [503] * (20 - requests._HEALTH_AT_ONCE)
    assert all(answer.headers["Retry-After"] for answer in refused)
    assert (callout.status_code, live.status_code, other.status_code) == (202, 200, 200)


async def test_a_queue_for_places_is_short(
    api: httpx.AsyncClient,
    crowd: Callable[[str], list[asyncio.Task[httpx.Response]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those beyond it are refused at once, instead of holding connections."""
    monkeypatch.setattr(requests, "PLACE_SECONDS", 60.0)
    waiting = [one for _ in range(5) for one in crowd("/health/ready")]
    refused = 100 - requests._HEALTH_AT_ONCE - requests._QUEUE
    async with asyncio.timeout(5):
        while sum(one.done() for one in waiting) < refused:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert sum(one.done() for one in waiting) == refused
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_few_requests_begin_in_one_turn_of_the_loop(api: httpx.AsyncClient) -> None:
    """Those that are answered without a pause would else be answered all before the next turn."""
    waiting = [asyncio.create_task(api.get("/health/live")) for _ in range(100)]
    longest = 0
    while not all(one.done() for one in waiting):
        before = sum(one.done() for one in waiting)
        await asyncio.sleep(0)
        longest = max(longest, sum(one.done() for one in waiting) - before)
    assert longest <= requests._PER_TURN


async def test_a_place_is_given_back(
    api: httpx.AsyncClient, reader: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever became of the request."""

    def fail(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(tickets, "after_number", fail)
        for _ in range(30):
            assert (await api.get("/admin/tickets", headers=reader)).status_code == 500
    assert (await api.get("/admin/tickets", headers=reader)).status_code == 200


async def test_a_callout_that_stops_coming_is_told_so(
    api: httpx.AsyncClient, logged: CapturingLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """408, and not what a database that is away gets."""
    monkeypatch.setattr(webhooks, "BODY_SECONDS", 0.05)

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    answer = await api.post("/webhooks/autotask", content=slow(), headers=SIGNED)
    assert answer.status_code == 408
    assert [call.method_name for call in logged.calls] == ["info"]


async def test_few_callouts_may_be_large_before_they_are_known(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others wait, read no further, and small ones pass."""
    monkeypatch.setattr(webhooks, "BODY_SECONDS", 0.5)
    read = 0

    async def large() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(6):
            yield b"x" * 10_000
            read += 10_000
        await asyncio.sleep(60)

    posts = [
        asyncio.create_task(api.post("/webhooks/autotask", content=large())) for _ in range(100)
    ]
    await asyncio.sleep(0.2)
    assert read <= webhooks.LARGE_AT_ONCE * 60_000 + 84 * 40_000
    assert (await api.post("/webhooks/autotask", content=CALLOUT, headers=SIGNED)).is_success
    assert {answer.status_code for answer in await asyncio.gather(*posts)} == {408}
