"""Webhook callouts: bytes, signature, order, retries, and the end of a webhook."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sandbox.callouts import encode_callout, sign
from sandbox.seed import Seed, seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant

SECRET = "a-secret-of-sixteen"


class Receiver:
    """Answer callouts with the statuses of `script`, then 200, and keep what came."""

    def __init__(self) -> None:
        self.script: list[int] = []
        self.got: list[tuple[str, str | None, bytes]] = []
        self.hold = threading.Event()
        self.hold.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((self.path, self.headers["X-Hook-Signature"], body))
                outer.hold.wait(5)
                self.send_response(outer.script.pop(0) if outer.script else 200)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                """Keep quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def payloads(self, path: str = "/hook") -> list[dict[str, Any]]:
        return [json.loads(body) for to, _, body in self.got if to == path]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=lambda: receiver.server.serve_forever(poll_interval=0.01))
    thread.start()
    yield receiver
    receiver.hold.set()
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


@pytest.fixture
def tenant(receiver: Receiver) -> Tenant:
    tenant = Tenant()
    tenant.subscribe(f"{receiver.url}/hook", f"{receiver.url}/off", SECRET, guid="guid-1")
    return tenant


@pytest.fixture
def ids(tenant: Tenant) -> Seed:
    tenant.switches.link_touches_ticket = False
    return seed(tenant)


@pytest.fixture
def server(tenant: Tenant) -> Iterator[SandboxServer]:
    with SandboxServer(tenant) as server:
        server.callouts.retry_after = 0.01
        yield server


def test_the_body_is_what_dotnet_would_write() -> None:
    """HTML characters and everything beyond ASCII become upper-case escapes, without spaces."""
    title = 'R&D <b>"it\'s" `1+1` C:\\x/y\n\x7f é 😀 \ud800'

    body = encode_callout({"Id": 1, "Fields": {"Title": title}, "On": True, "Nil": None})

    assert body == (
        b'{"Id":1,"Fields":{"Title":"R\\u0026D \\u003Cb\\u003E\\u0022it\\u0027s\\u0022 '
        b"\\u00601\\u002B1\\u0060 C:\\\\x/y\\n\\u007F \\u00E9 \\uD83D\\uDE00 "
        b'\\uFFFD"},"On":true,"Nil":null}'
    )


def test_the_signature_is_base64_of_hmac_sha1() -> None:
    """The value is that of RFC 2202, test case 2, in base64 behind its prefix."""
    assert sign("Jefe", b"what do ya want for nothing?") == "sha1=7/zfauXrL6LSdBbV8YTfnCWafHk="


def test_a_new_ticket_is_called_out_and_signed(
    tenant: Tenant, ids: Seed, receiver: Receiver, server: SandboxServer
) -> None:
    """The callout has the published keys and a signature over its raw bytes."""
    ticket = tenant.new_ticket(ids.harbour, title="Söhne & co")
    server.callouts.wait_idle()

    ((path, signature, raw),) = receiver.got
    payload = json.loads(raw)
    assert (path, signature) == ("/hook", sign(SECRET, raw))
    assert (payload["Action"], payload["EntityType"], payload["Id"]) == ("Create", "Ticket", ticket)
    assert payload["Guid"] == "guid-1"
    assert payload["Fields"]["TicketNumber"] == tenant.tickets[ticket]["ticketNumber"]
    assert payload["EventTime"].endswith("Z")


def test_no_callout_when_told_so_or_not_subscribed(tenant: Tenant, ids: Seed) -> None:
    """A ticket made without callouts, and an action without a subscription, queue nothing."""
    tenant.outbox.subscriptions.clear()
    tenant.subscribe("http://127.0.0.1:1/", "http://127.0.0.1:1/", SECRET, actions=["Create"])

    ticket = tenant.new_ticket(ids.harbour, callout=False)
    tenant.update_ticket(ticket, status=8)
    tenant.delete_ticket(ticket)

    assert tenant.outbox.queues == {}


def test_an_event_waits_behind_the_one_before_it(
    tenant: Tenant, ids: Seed, receiver: Receiver, server: SandboxServer
) -> None:
    """While the first callout fails, the second of the same action is not sent."""
    receiver.script = [500, 302]
    tickets = [tenant.new_ticket(ids.harbour) for _ in range(2)]
    server.callouts.wait_idle()

    assert [payload["Id"] for payload in receiver.payloads()] == [tickets[0]] * 3 + tickets[1:]
    assert [attempt.status for attempt in tenant.callout_attempts] == [500, 302, 200, 200]


@pytest.mark.parametrize(("retry_ids", "numbers"), [("same", [1, 1]), ("new", [1, 2])])
def test_a_retry_keeps_or_renews_its_number(
    tenant: Tenant,
    ids: Seed,
    receiver: Receiver,
    server: SandboxServer,
    retry_ids: Any,
    numbers: list[int],
) -> None:
    """Whether a retried callout has the old SequenceNumber is a switch."""
    tenant.switches.retry_ids = retry_ids
    receiver.script = [503]
    tenant.new_ticket(ids.harbour)
    server.callouts.wait_idle()

    assert [payload["SequenceNumber"] for payload in receiver.payloads()] == numbers


def test_an_answer_that_comes_too_late_is_a_failure(
    tenant: Tenant, ids: Seed, receiver: Receiver, server: SandboxServer
) -> None:
    """After the time-out the same event is sent again, though the first was received."""
    server.callouts.timeout = 0.1
    server.callouts.max_attempts = 2
    receiver.hold.clear()
    tenant.new_ticket(ids.harbour)
    server.callouts.wait_idle()

    assert len(receiver.got) == 2
    assert [attempt.status for attempt in tenant.callout_attempts] == [None, None]
    assert tenant.dropped_callouts[0].error == "TimeoutError"


def test_a_callout_is_dropped_after_five_attempts(
    tenant: Tenant, ids: Seed, receiver: Receiver, server: SandboxServer
) -> None:
    """It is recorded as dropped, and the next event goes its way."""
    receiver.script = [500] * 5
    first, second = tenant.new_ticket(ids.harbour), tenant.new_ticket(ids.harbour)
    server.callouts.wait_idle()

    (dropped,) = tenant.dropped_callouts
    assert (dropped.payload["Id"], dropped.attempts) == (first, 5)
    assert dropped.error == "status 500"
    assert receiver.payloads()[-1]["Id"] == second


def test_25_dropped_events_in_a_row_end_the_webhook(
    tenant: Tenant, ids: Seed, receiver: Receiver, server: SandboxServer
) -> None:
    """The deactivation is posted unsigned to both addresses, and later tickets stay silent."""
    server.callouts.max_attempts = 1
    receiver.script = [500] * 25
    for _ in range(26):
        tenant.new_ticket(ids.harbour)
    server.callouts.wait_idle()
    tenant.new_ticket(ids.harbour)

    (off,) = [entry for entry in receiver.got if entry[0] == "/off"]
    assert (off[1], json.loads(off[2])) == (None, {"Action": "Deactivated", "Guid": "guid-1"})
    assert receiver.payloads()[-1] == json.loads(off[2])
    assert len(tenant.dropped_callouts) == 26
    assert not any(tenant.outbox.queues.values())


def test_a_success_starts_the_count_of_failures_over(
    tenant: Tenant, ids: Seed, receiver: Receiver, server: SandboxServer
) -> None:
    """Only failures in a row count."""
    server.callouts.max_attempts = 1
    receiver.script = [500] * 24 + [200, 500]
    for _ in range(26):
        tenant.new_ticket(ids.harbour)
    server.callouts.wait_idle()

    assert tenant.outbox.subscriptions[1].active


def test_what_was_not_delivered_is_delivered_by_the_next_server(
    tenant: Tenant, ids: Seed, receiver: Receiver
) -> None:
    """Events queue while no server runs."""
    ticket = tenant.new_ticket(ids.harbour)
    with SandboxServer(tenant) as server:
        server.callouts.wait_idle()

    assert [payload["Id"] for payload in receiver.payloads()] == [ticket]


def test_waiting_for_idle_has_an_end(tenant: Tenant, ids: Seed, server: SandboxServer) -> None:
    """A callout that cannot be delivered in time is a TimeoutError, not a hang."""
    tenant.outbox.subscriptions[1].url = "http://127.0.0.1:1/closed"
    server.callouts.retry_after = 30
    tenant.new_ticket(ids.harbour)

    with pytest.raises(TimeoutError):
        server.callouts.wait_idle(0.05)


@pytest.mark.parametrize(
    ("switch", "value", "action", "key", "expected"),
    [
        ("fields_shape", "array", "Create", "Fields", list),
        ("fields_shape", "absent", "Create", "Fields", None),
        ("delete_fields", "empty", "Delete", "Fields", dict),
        ("delete_fields", "absent", "Delete", "Fields", None),
        ("mail_person_id", 7, "Create", "PersonID", int),
        ("mail_person_id", None, "Create", "PersonID", None),
    ],
)
def test_the_payload_follows_the_switches(
    tenant: Tenant,
    ids: Seed,
    switch: str,
    value: object,
    action: Any,
    key: str,
    expected: type | None,
) -> None:
    """Shapes that no source settles can be chosen."""
    setattr(tenant.switches, switch, value)
    ticket = tenant.new_ticket(ids.harbour)
    tenant.delete_ticket(ticket)

    payload = tenant.outbox.queues[(1, action)][0].payload

    assert (type(payload[key]) if key in payload else None) == expected


def test_a_link_over_the_api_causes_an_update_callout(tenant: Tenant, ids: Seed) -> None:
    """By default a new additional contact changes the ticket, and says so."""
    tenant.switches.link_touches_ticket = True

    tenant.link(ids.open_ticket, ids.carla)

    assert tenant.outbox.queues[(1, "Update")][0].ticket_id == ids.open_ticket
