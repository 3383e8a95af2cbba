"""The client of Microsoft Graph against the sandbox: what it finds, what each failure means."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from app.graph import client
from app.graph.client import Graph, GraphCredentials
from app.graph.errors import GraphError, PageError, Trouble, retry_after
from app.graph.models import SELECTED, Message, Person, read_message
from sandbox.graph import HELP_DESK, MailFault, MailSystem
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECRET = "secret~of~tests+&="
TOKEN = "token-of-tests"


@pytest.fixture
def mail(tenant: Tenant) -> MailSystem:
    tenant.mail.client_secret = SECRET
    tenant.mail.add_mailbox(HELP_DESK)
    return tenant.mail


@pytest.fixture
def credentials(mail: MailSystem) -> GraphCredentials:
    return GraphCredentials(mail.tenant_id, mail.client_id, SECRET)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as pool:
        yield pool


Make = Callable[[GraphCredentials], Graph]


@pytest.fixture
def make(http: httpx.AsyncClient, server: SandboxServer) -> Make:
    return lambda given: Graph(http, given, url=server.graph_url, login_url=server.login_url)


@pytest.fixture
def graph(make: Make, credentials: GraphCredentials) -> Graph:
    return make(credentials)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch, mail: MailSystem) -> list[float]:
    """The client's clock and the directory's, at the same pace: `now[0] += 60`."""
    clock = [0.0]
    monkeypatch.setattr(client, "monotonic", lambda: clock[0])
    mail.clock = lambda: NOON + timedelta(seconds=clock[0])
    return clock


async def read(
    graph: Graph,
    mailbox: str = HELP_DESK,
    since: datetime = NOON - HOUR,
    until: datetime = NOON + HOUR,
) -> list[Message]:
    """Read all pages of the two hours around noon."""
    page = await graph.page(mailbox, since, until)
    found = {message.id: message for message in page.messages}
    while page.next_url:
        page = await graph.page(mailbox, since, until, url=page.next_url)
        for message in page.messages:
            found.setdefault(message.id, message)
    return list(found.values())


async def trouble(graph: Graph, mailbox: str = HELP_DESK) -> GraphError:
    """Fail to read, both ways alike; see that nothing is told that should not be."""
    with pytest.raises(GraphError) as caught:
        await read(graph, mailbox)
    told = "".join(traceback.format_exception(caught.value))
    link: BaseException | None = caught.value
    while link is not None:
        told += f"{link!r} {link}"
        link = link.__cause__
    # Each line of source is in a traceback, so what is looked for is made up of values only.
    for secret in (SECRET, TOKEN, "eyJ0", "northwind-msp.example", "%40"):
        assert secret not in told
    return caught.value


Answer = Callable[[httpx.Request], httpx.Response]
A_TOKEN = {"access_token": TOKEN, "expires_in": 3599}


@asynccontextmanager
async def answered_by(answer: Answer, token: Any = A_TOKEN) -> AsyncIterator[Graph]:
    """Yield a client of a server that answers anything, also what the sandbox does not."""

    def all_answers(request: httpx.Request) -> httpx.Response:
        if request.url.host == "login.microsoftonline.com":
            return token if isinstance(token, httpx.Response) else httpx.Response(200, json=token)
        assert request.url.host == "graph.microsoft.com", "no other host is asked"
        return answer(request)

    transport = httpx.MockTransport(all_answers)
    async with httpx.AsyncClient(transport=transport, follow_redirects=True) as pool:
        yield Graph(pool, GraphCredentials("t", "c", SECRET))


def page(*told: object, **more: object) -> httpx.Response:
    return httpx.Response(200, json={"value": list(told), **more})


TOLD = {"id": "1", "receivedDateTime": "2026-11-23T12:00:00Z"}


# --- messages ------------------------------------------------------------------------------------


async def test_a_message_is_read_with_all_that_decides(graph: Graph, mail: MailSystem) -> None:
    """From and not sender, everybody in To and Cc in order, and the headers."""
    mail.deliver(
        HELP_DESK,
        sender="Ana Ruiz <ana@alpine.example>",
        subject="Printer",
        cc=["Bruno <bruno@alpine.example>", "carla@alpine.example"],
        received_at=NOON,
        message_id="<1@alpine.example>",
        headers={"Auto-Submitted": "no"},
    )
    [message] = await read(graph)

    assert message.sender == Person("Ana Ruiz", "ana@alpine.example")
    assert message.to == (Person(HELP_DESK, HELP_DESK),)
    assert [person.address for person in message.cc] == [
        "bruno@alpine.example",
        "carla@alpine.example",
    ]
    assert (message.subject, message.message_id) == ("Printer", "<1@alpine.example>")
    assert (message.received_at, message.is_draft) == (NOON, False)
    assert ("Auto-Submitted", "no") in message.headers


async def test_no_body_is_ever_asked_for(graph: Graph, mail: MailSystem) -> None:
    """Each request for messages says what it wants, and a body is not among it."""
    mail.deliver(HELP_DESK, sender="a@x.example", subject="s", received_at=NOON)
    await read(graph)
    await graph.check(HELP_DESK)
    assert [set(asked["$select"].split(",")) for asked in mail.asked] == [set(SELECTED), {"id"}]
    assert not [name for name in SELECTED if "body" in name.lower()]


async def test_both_ends_of_the_time_count(graph: Graph, mail: MailSystem) -> None:
    """Rounded outwards: Graph shows seconds and compares what it does not show."""
    since, until = NOON + timedelta(seconds=0.7), NOON + timedelta(seconds=60.2)
    for seconds in (-0.1, 0.6, 30, 60.9, 61.1):
        at = NOON + timedelta(seconds=seconds)
        mail.deliver(HELP_DESK, sender="a@x.example", subject=str(seconds), received_at=at)
    found = await read(graph, HELP_DESK, since, until)
    assert [message.subject for message in found] == ["60.9", "30", "0.6"]


async def test_all_pages_are_read_newest_first_each_message_once(
    graph: Graph, mail: MailSystem
) -> None:
    """Though the pages overlap, and one of them is empty."""
    mail.switches.empty_first_page = True
    for n in range(8):
        at = NOON + timedelta(seconds=n)
        mail.deliver(HELP_DESK, sender="a@x.example", subject=str(n), received_at=at)
    assert [message.subject for message in await read(graph)] == list("76543210")
    assert mail.calls["messages"] == 5


async def test_a_mailbox_with_odd_characters_is_one_mailbox(graph: Graph, mail: MailSystem) -> None:
    """Whatever an address may contain is encoded, so it cannot become another path or query."""
    mailbox = "it+help#ext#?x=&y%20z@northwind-msp.example"
    mail.add_mailbox(mailbox)
    mail.deliver(mailbox, sender="a@x.example", subject="s", received_at=NOON)
    assert len(await read(graph, mailbox)) == 1


async def test_people_are_taken_as_told(graph: Graph, mail: MailSystem) -> None:
    """Without a name or address, with an X.500 path for one, or empty."""
    path = "/O=EXCHANGELABS/OU=GROUP/CN=RECIPIENTS/CN=ANA"
    mail.deliver(
        HELP_DESK,
        sender=("Ana", path),
        subject=None,
        cc=[(None, "a@x.example"), ("Only a name", None), (None, None)],
        to=(),
        received_at=NOON,
        without_headers=True,
    )
    mail.deliver(HELP_DESK, sender=None, subject="s", received_at=NOON - HOUR, is_draft=True)
    whole, bare = await read(graph)

    assert whole.sender == Person("Ana", path)
    assert whole.cc == (Person("", "a@x.example"), Person("Only a name", ""), Person("", ""))
    assert (whole.subject, whole.to, whole.headers) == ("", (), ())
    assert (bare.sender, bare.is_draft) == (None, True)


@pytest.mark.parametrize("absent", [{}, dict.fromkeys(SELECTED), {"from": {"emailAddress": None}}])
def test_a_message_needs_an_id_and_a_time_only(absent: dict[str, Any]) -> None:
    """Whatever a sender can leave out may be missing or null."""
    message = read_message({**absent, "isDraft": False, **TOLD})
    assert (message.subject, message.message_id, message.cc, message.headers) == ("", None, (), ())
    assert message.sender in (None, Person("", ""))


def test_half_a_character_is_replaced() -> None:
    """No database and no log can write it down; NUL is left to those who read addresses."""
    told = {"name": "A \ud83d B \ud83d\ude00", "address": "a\0@x"}
    message = read_message({**TOLD, "from": {"emailAddress": told}})
    assert message.sender == Person("A \ufffd B \U0001f600", "a\0@x")


def test_what_is_wrong_with_a_message_is_not_quoted() -> None:
    """It is private mail."""
    with pytest.raises(ValidationError) as caught:
        read_message({**TOLD, "subject": ["secret"]})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "told",
    [
        None,
        "secret@x.example",
        {},
        {"id": "1"},
        {"id": "1", "receivedDateTime": "secret@x.example"},
        {"id": "1", "receivedDateTime": "2026-11-23T12:00:00"},
        {**TOLD, "subject": ["secret@x.example"]},
        {**TOLD, "ccRecipients": "secret@x.example"},
        {**TOLD, "ccRecipients": [None]},
        {**TOLD, "internetMessageHeaders": [["secret@x.example"]]},
        {**TOLD, "isDraft": "perhaps"},
    ],
)
async def test_a_message_that_cannot_be_read_spoils_the_answer(told: object) -> None:
    """It could be the one that is looked for. What is wrong with it is not quoted."""
    async with answered_by(lambda _: page(TOLD, told)) as graph:
        error = await trouble(graph)
    assert error.trouble is Trouble.AWAY
    assert "secret@" not in "".join(traceback.format_exception(error))


# --- what keeps us from the mailbox --------------------------------------------------------------

A_GUID = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("wrong", "expected", "number"),
    [
        ({"client_secret": "wrong"}, Trouble.CREDENTIALS, "AADSTS7000215"),
        ({"client_id": A_GUID}, Trouble.TENANT, "AADSTS700016"),
        ({"tenant_id": A_GUID}, Trouble.TENANT, "AADSTS90002"),
        ({"tenant_id": "nowhere"}, Trouble.TENANT, "AADSTS900023"),
    ],
)
async def test_wrong_credentials_are_told_apart(
    make: Make,
    credentials: GraphCredentials,
    wrong: dict[str, str],
    expected: Trouble,
    number: str,
) -> None:
    """Each has another cure; the number is what an administrator looks up."""
    error = await trouble(make(replace(credentials, **wrong)))
    assert (error.trouble, number in str(error)) == (expected, True)


async def test_an_expired_secret_is_told(graph: Graph, mail: MailSystem) -> None:
    """It is the one that happens to everybody, after two years at most."""
    mail.switches.secret_expired = True
    error = await trouble(graph)
    assert error.trouble is Trouble.SECRET_EXPIRED
    assert "expired" in str(error)


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [
        (401, {"error": "invalid_client", "error_codes": [1]}, Trouble.CREDENTIALS),
        (400, {"error": "unauthorized_client"}, Trouble.TENANT),
        (400, {"error": "unheard_of", "error_codes": "x"}, Trouble.CREDENTIALS),
        (400, {"error": "x", "error_description": "AADSTS7000222: …"}, Trouble.SECRET_EXPIRED),
        (400, {"error": "invalid_request", "error_codes": [90055]}, Trouble.THROTTLED),
        (400, {"error": "temporarily_unavailable"}, Trouble.AWAY),
        (400, {"error": {"code": "of something else"}}, Trouble.AWAY),
        (500, {"error": "invalid_client", "error_codes": [7000215]}, Trouble.AWAY),
        (302, {}, Trouble.AWAY),
        (200, {"access_token": "with\nline", "expires_in": 3599}, Trouble.AWAY),
        (200, {"access_token": TOKEN, "expires_in": "soon"}, Trouble.AWAY),
        (200, [], Trouble.AWAY),
    ],
)
async def test_no_token_is_judged_by_number_then_by_word(
    status: int, answer: Any, expected: Trouble
) -> None:
    """Microsoft may change the numbers; OAuth's own words stay."""
    refusal = httpx.Response(status, json=answer, headers={"location": "https://evil.example"})
    async with answered_by(lambda _: page(), token=refusal) as graph:
        assert (await trouble(graph)).trouble is expected


async def test_a_mailbox_out_of_scope_is_told(graph: Graph, mail: MailSystem) -> None:
    """By reading and by the check alike."""
    mail.in_scope.clear()
    assert (await trouble(graph)).trouble is Trouble.OUT_OF_SCOPE
    with pytest.raises(GraphError, match="403 ErrorAccessDenied"):
        await graph.check(HELP_DESK)


@pytest.mark.parametrize(
    "code", ["ErrorInvalidUser", "MailboxNotEnabledForRESTAPI", "ResourceNotFound"]
)
async def test_a_missing_mailbox_is_told(graph: Graph, mail: MailSystem, code: str) -> None:
    """Graph has several words for it."""
    mail.switches.missing_mailbox = code
    error = await trouble(graph, "nobody@northwind-msp.example")
    assert (error.trouble, code in str(error)) == (Trouble.MISSING, True)


@pytest.mark.parametrize("on", ["token", "messages"])
@pytest.mark.parametrize(
    ("fault", "expected", "seconds"),
    [
        (MailFault("throttled", retry_after="17"), Trouble.THROTTLED, 17.0),
        (MailFault("throttled"), Trouble.THROTTLED, None),
        (MailFault("unavailable", retry_after="120"), Trouble.THROTTLED, 120.0),
        (MailFault("unavailable"), Trouble.AWAY, None),
        (MailFault("garbage"), Trouble.AWAY, None),
        (MailFault("reset"), Trouble.AWAY, None),
    ],
)
async def test_what_passes_is_told_with_its_time(
    graph: Graph, mail: MailSystem, fault: MailFault, on: Any, expected: Trouble, seconds: float
) -> None:
    """Of the directory and of Graph alike; asked again, all is well."""
    mail.fail(replace(fault, on=on))
    error = await trouble(graph)
    assert (error.trouble, error.retry_after) == (expected, seconds)
    assert await read(graph) == []


async def test_a_fifth_request_at_once_is_throttled(graph: Graph, mail: MailSystem) -> None:
    """Microsoft's limit for one application and mailbox, without a time to wait."""
    mail.switches.latency = 0.1
    answers = await asyncio.gather(*(read(graph) for _ in range(5)), return_exceptions=True)
    [error] = [answer for answer in answers if isinstance(answer, GraphError)]
    assert (error.trouble, error.retry_after) == (Trouble.THROTTLED, None)


@pytest.mark.parametrize("on", ["token", "messages"])
async def test_a_reading_without_an_answer_is_bounded(
    graph: Graph, mail: MailSystem, monkeypatch: pytest.MonkeyPatch, on: Any
) -> None:
    """A token that never came does not block the next request for one."""
    monkeypatch.setattr(client, "REQUEST_SECONDS", 0.2)
    mail.fail(MailFault("hang", on=on))
    begun = time.monotonic()
    error = await trouble(graph)
    assert time.monotonic() - begun < 5
    assert (error.trouble, "no answer" in str(error)) == (Trouble.AWAY, True)
    monkeypatch.undo()
    assert await read(graph) == []


async def test_nobody_at_the_address_is_told(
    http: httpx.AsyncClient, credentials: GraphCredentials
) -> None:
    """A refused connection is trouble like any other."""
    graph = Graph(http, credentials, url="http://127.0.0.1:9", login_url="http://127.0.0.1:9")
    assert (await trouble(graph)).trouble is Trouble.AWAY


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, b""),
        (200, b"[]"),
        (200, b'{"value": {}}'),
        (200, b"[" * 100_000),
        (200, b"\xff"),
        (302, b""),
        (400, b'{"error": {"code": "InefficientFilter"}}'),
        (404, b"<html>nothing here</html>"),
        (500, b'{"error": {"code": "ErrorInternalServerError"}}'),
    ],
)
async def test_an_answer_that_is_none_is_told(status: int, content: bytes) -> None:
    """Also a 404 that is not Graph's: it says nothing of the mailbox. No redirect is followed."""
    headers = {"location": "https://evil.example/"}
    answer = httpx.Response(status, content=content, headers=headers)
    async with answered_by(lambda _: answer) as graph:
        assert (await trouble(graph)).trouble is Trouble.AWAY
        with pytest.raises(GraphError):
            await graph.check(HELP_DESK)


async def test_what_microsoft_says_is_not_quoted() -> None:
    """Texts name mailboxes and applications; of a code only what looks like one is told."""
    error = {"code": "a code\nwith <northwind-msp.example>", "message": HELP_DESK}
    async with answered_by(lambda _: httpx.Response(403, json={"error": error})) as graph:
        told = await trouble(graph)
    assert str(told) == "the application may not read this mailbox (403 without a code)"


def _date(**ahead: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(**ahead), usegmt=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5),
        (" 5 ", 5),
        ("1.5", 1.5),
        ("0", 1),
        ("9" * 400, 3600),
        pytest.param(_date(days=1), 3600, id="a day ahead"),
        pytest.param(_date(days=-1), 1, id="a day ago"),
        ("", None),
        (None, None),
        ("-1", None),
        ("1e9", None),
        ("soon", None),
        ("²", None),
        ("Thu, 99 Foo 2026 99:99:99 GMT", None),
    ],
)
def test_a_time_to_wait_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    """From a second to an hour; what is neither counts as not said."""
    headers = {} if value is None else {b"retry-after": value.encode()}
    assert retry_after(httpx.Response(429, headers=headers)) == seconds


def test_a_date_to_wait_for_counts_from_the_clock_of_the_server() -> None:
    """Ours may differ from it."""
    headers = {"date": _date(hours=-5), "retry-after": _date(hours=-5, seconds=17)}
    waited = retry_after(httpx.Response(429, headers=headers))
    assert waited is not None
    assert 16 <= waited <= 18


# --- pages elsewhere and without end -------------------------------------------------------------


async def test_a_next_page_elsewhere_is_refused(graph: Graph, mail: MailSystem) -> None:
    """The token would go with it."""
    mail.switches.next_link = "foreign"
    for n in range(4):
        mail.deliver(HELP_DESK, sender="a@x.example", subject=str(n), received_at=NOON)
    error = await trouble(graph)
    assert (error.trouble, "own origin" in str(error)) == (Trouble.AWAY, True)


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/v1.0/users",
        "http://graph.microsoft.com/v1.0/users",
        "https://graph.microsoft.com:8443/v1.0/users",
        "https://graph.microsoft.com@evil.example/",
        "https://user:secret@graph.microsoft.com/",
        "//evil.example/",
        "/v1.0/users",
        "https://[bad/",
        "https://graph.microsoft.com/\0",
        "",
        5,
        False,
    ],
)
async def test_a_next_page_of_any_other_origin_is_refused(link: object) -> None:
    """Only Graph's own address has the token, in whatever way another is written."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return page(TOLD, **{"@odata.nextLink": link})

    async with answered_by(answer) as graph:
        assert (await trouble(graph)).trouble is Trouble.AWAY
    assert asked == ["graph.microsoft.com"]


async def test_a_page_that_names_itself_is_not_read_for_ever(
    graph: Graph, mail: MailSystem
) -> None:
    """Graph was seen to do so. It says nothing about other pages."""
    mail.switches.next_link = "same"
    for n in range(4):
        mail.deliver(HELP_DESK, sender="a@x.example", subject=str(n), received_at=NOON)
    error = await trouble(graph)
    assert (type(error), mail.calls["messages"]) == (PageError, 2)
    assert "the same page" in str(error)


# --- the token -----------------------------------------------------------------------------------


async def test_a_token_serves_many_readings(graph: Graph, mail: MailSystem) -> None:
    """Also those that begin before it is there: it is fetched once."""
    await asyncio.gather(*(read(graph) for _ in range(3)))
    await read(graph)
    await graph.check(HELP_DESK)
    assert mail.calls == {"token": 1, "messages": 5}


@pytest.mark.parametrize(("life", "kept", "renewed"), [(3600, 3299, 3301), (600, 539, 541)])
async def test_a_token_is_renewed_before_its_end(
    graph: Graph, mail: MailSystem, now: list[float], life: int, kept: float, renewed: float
) -> None:
    """Five minutes before, or a tenth of its life if that is less."""
    mail.switches.token_seconds = life
    await graph.check(HELP_DESK)
    now[0] = kept
    await graph.check(HELP_DESK)
    assert mail.calls["token"] == 1
    now[0] = renewed
    await graph.check(HELP_DESK)
    assert mail.calls == {"token": 2, "messages": 3}


async def test_a_revoked_token_is_replaced(graph: Graph, mail: MailSystem) -> None:
    """Once, without an error."""
    await graph.check(HELP_DESK)
    mail.tokens.clear()
    assert await read(graph) == []
    assert mail.calls == {"token": 2, "messages": 3}


async def test_a_fresh_token_that_is_refused_is_trouble(graph: Graph, mail: MailSystem) -> None:
    """Then another would be, too; the next reading begins with a new one all the same."""
    mail.fail(MailFault("revoked", times=2))
    assert (await trouble(graph)).trouble is Trouble.CREDENTIALS
    assert mail.calls == {"token": 2, "messages": 2}
    assert await read(graph) == []
    assert mail.calls["token"] == 3


async def test_a_refusal_that_is_late_keeps_the_new_token() -> None:
    """Several that are refused at once fetch one token between them."""
    tokens = iter(["first", "second", "third"])
    late, renewed = asyncio.Event(), asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(200, json={**A_TOKEN, "access_token": next(tokens)})
        if request.headers["authorization"] != "Bearer first":
            renewed.set()
            return page()
        if "late" in request.url.path:
            late.set()
            await renewed.wait()
        return httpx.Response(401)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as pool:
        graph = Graph(pool, GraphCredentials("t", "c", SECRET))
        reading = asyncio.create_task(graph.check("late@x.example"))
        await late.wait()
        await graph.check("early@x.example")
        await reading
    assert next(tokens) == "third"


async def test_credentials_do_not_show_the_secret(credentials: GraphCredentials) -> None:
    """They stand in settings and tracebacks."""
    assert SECRET not in repr(credentials)
