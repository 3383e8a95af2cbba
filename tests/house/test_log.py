"""What is logged, in both formats: one line each, no addresses, no secrets."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from app.autotask.client import Credentials
from app.settings import log

PERSON = "nina.osei@radiology.example"
FORMATS = ["json", "console"]
Read = Callable[[], str]


@pytest.fixture
def configured(capsys: pytest.CaptureFixture[str]) -> Callable[..., Read]:
    """Configure logs for one test: `configured("json")` gives what reads them."""

    def configure(log_format: str, **options: Any) -> Read:
        log.configure(log_format, **options)
        return lambda: capsys.readouterr().err

    return configure


def boom() -> None:
    """Raise an error that has an address in it, as errors of Autotask and of libraries do."""
    raise ValueError(f"no place for {PERSON}")


def event(_: Any) -> None:
    structlog.get_logger().warning(f"{PERSON} was added")


def value(_: Any) -> None:
    structlog.get_logger().warning("added", who=PERSON, note=f"Nina <{PERSON}>")


def bound(_: Any) -> None:
    with structlog.contextvars.bound_contextvars(who=PERSON):
        structlog.get_logger().warning("added")


def traceback(_: Any) -> None:
    try:
        boom()
    except ValueError:
        structlog.get_logger().exception("failed")


def library(_: Any) -> None:
    logging.getLogger("some.library").warning("sent to %s", PERSON)


def traceback_of_a_library(_: Any) -> None:
    try:
        boom()
    except ValueError:
        logging.getLogger("some.library").exception("failed")


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("write", [event, value, bound, traceback, library, traceback_of_a_library])
def test_addresses_are_masked(
    configured: Callable[..., Read], log_format: str, write: Callable[[Any], None]
) -> None:
    """In events, values, tracebacks and what libraries say; enough is left to tell people apart."""
    read = configured(log_format)
    write(None)
    shown = read()
    assert "nina" not in shown
    assert "osei" not in shown
    assert "radiology" not in shown
    assert "n***@r***.example" in shown


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize(
    "what", [[PERSON], {"who": PERSON}, ValueError(PERSON)], ids=["list", "object", "error"]
)
def test_addresses_inside_other_values_are_masked(
    configured: Callable[..., Read], log_format: str, what: object
) -> None:
    """A list of addresses is easily logged by mistake."""
    read = configured(log_format)
    structlog.get_logger().warning("added", what=what)
    shown = read()
    assert "what" in shown
    assert PERSON not in shown


def test_json_is_one_object_a_line(configured: Callable[..., Read]) -> None:
    """For machines: time in UTC, level, event, values, and a traceback as one text."""
    read = configured("json")
    structlog.get_logger().info("looked", ticket=7, note="two\nlines")
    traceback(None)
    library(None)

    looked, failed, sent = map(json.loads, read().splitlines())
    assert looked.pop("timestamp").endswith("Z")
    assert looked == {"event": "looked", "level": "info", "ticket": 7, "note": "two\nlines"}
    assert failed["level"] == "error"
    assert "in boom" in failed["exception"]
    assert sent["event"] == "sent to n***@r***.example"


def test_the_console_is_for_people(configured: Callable[..., Read]) -> None:
    """The same without JSON; no colours outside a terminal, no warnings about itself."""
    read = configured("console")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        structlog.get_logger().info("looked", ticket=7)
        traceback(None)
    shown = read()
    assert "looked" in shown
    assert "ticket=7" in shown
    assert "ValueError" in shown
    assert "\x1b" not in shown
    assert "Logging error" not in shown


@pytest.mark.parametrize("log_format", FORMATS)
def test_nothing_goes_to_standard_output(
    capsys: pytest.CaptureFixture[str], configured: Callable[..., Read], log_format: str
) -> None:
    """That is for what commands answer."""
    configured(log_format)
    event(None)
    library(None)
    assert capsys.readouterr().out == ""


def test_quiet_leaves_warnings_and_errors(configured: Callable[..., Read]) -> None:
    """For the demo, whose output is its own."""
    read = configured("console", quiet=True)
    structlog.get_logger().info("hidden-1")
    logging.getLogger("some.library").info("hidden-2")
    structlog.get_logger().warning("shown-1")
    logging.getLogger("some.library").warning("shown-2")
    shown = read()
    assert "hidden" not in shown
    assert "shown-1" in shown
    assert "shown-2" in shown


@pytest.mark.parametrize("name", ["httpx", "httpcore.http11", "uvicorn.access"])
def test_libraries_that_log_every_request_are_quiet(
    configured: Callable[..., Read], name: str
) -> None:
    """Paths have addresses in them, and the zone's query has the user's name."""
    read = configured("json")
    logging.getLogger(name).info("GET /admin/people/%s", PERSON)
    assert read() == ""


def test_the_servers_own_lines_come_once(configured: Callable[..., Read]) -> None:
    """uvicorn brings handlers of its own, which know no mask."""
    logging.getLogger("uvicorn.error").addHandler(logging.StreamHandler())
    read = configured("json")
    logging.getLogger("uvicorn.error").info("Application startup complete.")
    assert len(read().splitlines()) == 1


def test_configuring_twice_writes_once(configured: Callable[..., Read]) -> None:
    """The demo and the tests configure before the commands do."""
    configured("console")
    read = configured("json")
    event(None)
    assert len(read().splitlines()) == 1


@pytest.mark.parametrize("log_format", FORMATS)
def test_credentials_do_not_show_when_logged(
    configured: Callable[..., Read], log_format: str
) -> None:
    """As a value, and in the text of an error."""
    credentials = Credentials("user", "hunter2-a", "hunter2-b")
    read = configured(log_format)
    try:
        raise RuntimeError(f"cannot use {credentials}")
    except RuntimeError:
        structlog.get_logger().exception("failed", credentials=credentials)
    shown = read()
    assert "cannot use" in shown
    assert "hunter2-" not in shown


def test_what_strangers_make_a_library_say_is_spared(
    configured: Callable[..., Read], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five lines of a kind a minute; the next one says how many were left out."""
    clock = [0.0]
    monkeypatch.setattr("app.settings.log.time.monotonic", lambda: clock[0])
    read = configured("json")
    for n in range(100):
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
        logging.getLogger("asyncio").error("socket.accept() out of system resource\nsocket: %s", n)
        logging.getLogger("some.library").warning("Not spared.")
    assert len(read().splitlines()) == 5 + 5 + 100
    clock[0] += 60
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    assert "(95 more in the minute before)" in read()
