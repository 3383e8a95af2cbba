"""The double of Microsoft 365 over the wire: tokens, messages, what it refuses, and mail."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from sandbox.graph import AT_ONCE, HELP_DESK, MailFault, MailSystem
from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
A_GUID = "00000000-0000-4000-8000-000000000000"
MESSAGES = f"/v1.0/users/{HELP_DESK}/messages"
SINCE = "receivedDateTime ge 2026-11-23T11:00:00Z"


@pytest.fixture
def mail(tenant: Tenant, people: Seed) -> MailSystem:
    return tenant.mail


@pytest.fixture
def api(mail: MailSystem, server: SandboxServer) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {mail.issue_token()}"}
    with httpx.Client(base_url=server.graph_url, headers=headers) as client:
        yield client


def ask_token(server: SandboxServer, mail: MailSystem, **changes: str) -> httpx.Response:
    """Ask for a token with everything right but for what is given."""
    form = {
        "grant_type": "client_credentials",
        "client_id": mail.client_id,
        "client_secret": mail.client_secret,
        "scope": f"{server.graph_url}/.default",
        **changes,
    }
    tenant = form.pop("tenant", mail.tenant_id)
    return httpx.post(f"{server.login_url}/{tenant}/oauth2/v2.0/token", data=form)


def code_of(answer: httpx.Response) -> Any:
    """Return the code of Graph's error object."""
    return answer.json()["error"]["code"]


# --- tokens --------------------------------------------------------------------------------------


def test_a_token_opens_the_mailbox_until_it_ends(mail: MailSystem, server: SandboxServer) -> None:
    """As long as it said itself."""
    clock = [NOON]
    mail.clock = lambda: clock[0]
    mail.switches.token_seconds = 60
    given = ask_token(server, mail).json()
    headers = {"Authorization": f"Bearer {given['access_token']}"}
    statuses = []
    for clock[0] in (NOON + timedelta(seconds=59), NOON + timedelta(seconds=60)):
        statuses.append(httpx.get(server.graph_url + MESSAGES, headers=headers).status_code)

    assert (given["token_type"], given["expires_in"]) == ("Bearer", 60)
    assert statuses == [200, 401]
    assert mail.calls == {"token": 1, "messages": 2}


@pytest.mark.parametrize(
    ("wrong", "status", "error", "number"),
    [
        ({"tenant": A_GUID}, 400, "invalid_request", 90002),
        ({"tenant": "nowhere"}, 400, "invalid_request", 900023),
        ({"grant_type": "password"}, 400, "invalid_request", 900144),
        ({"client_id": A_GUID}, 400, "unauthorized_client", 700016),
        ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ({"scope": "https://graph.microsoft.com/.default"}, 400, "invalid_scope", 70011),
    ],
)
def test_what_is_wrong_gets_no_token(
    mail: MailSystem,
    server: SandboxServer,
    wrong: dict[str, str],
    status: int,
    error: str,
    number: int,
) -> None:
    """With Entra's numbers, in the list and in the text."""
    answer = ask_token(server, mail, **wrong)
    told = answer.json()
    assert (answer.status_code, told["error"], told["error_codes"]) == (status, error, [number])
    assert told["error_description"].startswith(f"AADSTS{number}: ")
    assert mail.tokens == {}


def test_an_expired_secret_gets_no_token(mail: MailSystem, server: SandboxServer) -> None:
    """Only the right one can be told to have expired."""
    mail.switches.secret_expired = True
    assert ask_token(server, mail).json()["error_codes"] == [7000222]
    assert ask_token(server, mail, client_secret="wrong").json()["error_codes"] == [7000215]


# --- messages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer made-up", "Basic dTpw"])
def test_messages_need_a_token(
    mail: MailSystem, server: SandboxServer, authorization: str | None
) -> None:
    """One that was given out here."""
    headers = {"Authorization": authorization} if authorization else {}
    answer = httpx.get(server.graph_url + MESSAGES, headers=headers)
    assert (answer.status_code, code_of(answer)) == (401, "InvalidAuthenticationToken")


def test_only_mailboxes_in_scope_are_shown(mail: MailSystem, api: httpx.Client) -> None:
    """One that is not there is a 404, one that the application may not read a 403."""
    mail.add_mailbox("boss@northwind-msp.example", in_scope=False)
    missing = api.get("/v1.0/users/nobody@northwind-msp.example/messages")
    shut = api.get("/v1.0/users/boss@northwind-msp.example/messages")
    assert (missing.status_code, code_of(missing)) == (404, "ErrorInvalidUser")
    assert (shut.status_code, code_of(shut)) == (403, "ErrorAccessDenied")
    assert api.get(f"/v1.0/users/{HELP_DESK.upper()}/messages").status_code == 200


def test_only_what_is_selected_is_answered(mail: MailSystem, api: httpx.Client) -> None:
    """The id always, and the headers only on request."""
    mail.deliver(HELP_DESK, sender="Ana <ana@x.example>", subject="Printer", received_at=NOON)
    [some] = api.get(MESSAGES, params={"$select": "from,receivedDateTime"}).json()["value"]
    [all_of_it] = api.get(MESSAGES).json()["value"]
    [headers] = api.get(MESSAGES, params={"$select": "internetMessageHeaders"}).json()["value"]

    assert set(some) == {"@odata.etag", "id", "from", "receivedDateTime"}
    assert some["from"] == {"emailAddress": {"name": "Ana", "address": "ana@x.example"}}
    assert some["receivedDateTime"] == "2026-11-23T12:00:00Z"
    assert "internetMessageHeaders" not in all_of_it
    assert {"name": "Subject", "value": "Printer"} in headers["internetMessageHeaders"]


def test_what_was_sent_from_here_has_no_headers(mail: MailSystem, api: httpx.Client) -> None:
    """Graph leaves the property out."""
    mail.deliver(HELP_DESK, sender=HELP_DESK, subject="s", without_headers=True)
    [sent] = api.get(MESSAGES, params={"$select": "internetMessageHeaders"}).json()["value"]
    assert set(sent) == {"@odata.etag", "id"}


def test_the_filter_and_the_order_are_kept(mail: MailSystem, api: httpx.Client) -> None:
    """Times with both ends, and drafts."""
    for minutes, is_draft in ((-61, False), (0, False), (1, True), (2, False)):
        at = NOON + timedelta(minutes=minutes)
        mail.deliver(
            HELP_DESK, sender="a@x.example", subject=str(minutes), received_at=at, is_draft=is_draft
        )
    query = {"$filter": f"{SINCE} and isDraft eq false", "$orderby": "receivedDateTime desc"}
    told = api.get(MESSAGES, params=query).json()["value"]
    assert [one["subject"] for one in told] == ["2", "0"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"$select": "subject,sbject"}, "BadRequest"),
        ({"$select": "subject, from"}, "BadRequest"),
        ({"$filter": "receivedDateTime ge 2026-11-23"}, "BadRequest"),
        ({"$filter": f"{SINCE} or isDraft eq true"}, "BadRequest"),
        ({"$filter": "contains(subject,'x')"}, "BadRequest"),
        ({"$filter": "isDraft eq false", "$orderby": "receivedDateTime"}, "InefficientFilter"),
        ({"$orderby": "subject"}, "BadRequest"),
        ({"$top": "0"}, "BadRequest"),
        ({"$top": "1001"}, "BadRequest"),
        ({"$skip": "x"}, "BadRequest"),
        ({"$search": "printer"}, "BadRequest"),
        ({"select": "subject"}, "BadRequest"),
    ],
)
def test_a_query_that_is_not_known_to_be_taken_is_refused(
    api: httpx.Client, query: dict[str, str], code: str
) -> None:
    """A client's mistake must not pass here and fail at Microsoft's."""
    answer = api.get(MESSAGES, params=query)
    assert (answer.status_code, code_of(answer)) == (400, code)


@pytest.mark.parametrize("overlap", [True, False])
def test_a_page_names_the_next_one(mail: MailSystem, api: httpx.Client, overlap: bool) -> None:
    """With the query in it; by default the last message comes again."""
    mail.switches.pages_overlap = overlap
    for n in range(5):
        mail.deliver(HELP_DESK, sender="a@x.example", subject=str(n), received_at=NOON)
    pages = [api.get(MESSAGES, params={"$filter": SINCE, "$select": "subject"}).json()]
    while link := pages[-1].get("@odata.nextLink"):
        pages.append(api.get(link).json())

    told = ["".join(one["subject"] for one in page["value"]) for page in pages]
    assert told == (["012", "234"] if overlap else ["012", "34"])
    assert [asked["$select"] for asked in mail.asked] == ["subject", "subject"]


async def test_a_fifth_request_at_once_is_throttled(
    mail: MailSystem, server: SandboxServer
) -> None:
    """For one mailbox; another is free."""
    other = "other@northwind-msp.example"
    mail.add_mailbox(other)
    mail.switches.latency = 0.2
    headers = {"Authorization": f"Bearer {mail.issue_token()}"}
    urls = [MESSAGES] * (AT_ONCE + 1) + [f"/v1.0/users/{other}/messages"]
    async with httpx.AsyncClient(base_url=server.graph_url, headers=headers) as client:
        answers = await asyncio.gather(*map(client.get, urls))

    [refused] = [answer for answer in answers if answer.status_code != 200]
    assert (refused.status_code, code_of(refused)) == (429, "ApplicationThrottled")
    assert mail.peak == AT_ONCE + 1


def test_faults_hit_their_kind_as_often_as_told(
    mail: MailSystem, server: SandboxServer, api: httpx.Client
) -> None:
    """And no other kind."""
    mail.fail(
        MailFault("throttled", times=2, retry_after="7"),
        MailFault("unavailable"),
        MailFault("revoked"),
        MailFault("garbage", on="token"),
    )
    answers = [api.get(MESSAGES) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [429, 429, 503, 401, 200]
    assert answers[0].headers["Retry-After"] == "7"
    assert ask_token(server, mail).headers["content-type"].startswith("text/html")


def test_a_request_can_hang_or_be_cut(mail: MailSystem, api: httpx.Client) -> None:
    """The client sees a time-out or a reset."""
    mail.fail(MailFault("hang"), MailFault("reset"))
    with pytest.raises(httpx.ReadTimeout):
        api.get(MESSAGES, timeout=0.2)
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        api.get(MESSAGES)


# --- mail that becomes a ticket ------------------------------------------------------------------


def test_a_mail_becomes_a_ticket_without_its_list(
    tenant: Tenant, people: Seed, api: httpx.Client
) -> None:
    """The mailbox has all of it, the ticket what mail processing keeps."""
    subject = "The printer " * 30
    ticket_id = tenant.receive_mail(
        people.alpine,
        sender="Ana Ruiz <Ana.Ruiz@alpine-dental.example>",
        subject=subject,
        cc=["Bruno Keller <bruno.keller@alpine-dental.example>"],
        headers={"Auto-Submitted": "no"},
        description="It hums.",
    )
    ticket = tenant.tickets[ticket_id]
    [kept] = api.get(MESSAGES).json()["value"]

    assert (ticket["title"], ticket["contactID"]) == (subject[:255], people.ana)
    assert (ticket["source"], ticket["description"]) == (4, "It hums.")
    assert ticket["userDefinedFields"] == [{"name": "CC", "value": None}]
    assert kept["subject"] == subject
    assert kept["ccRecipients"][0]["emailAddress"]["name"] == "Bruno Keller"
    assert ("Auto-Submitted", "no") in (tenant.mail.mailboxes[HELP_DESK][0].headers or ())


def test_a_mail_is_told_by_a_callout(tenant: Tenant, people: Seed) -> None:
    """As any new ticket is, by the time its copy can be found."""
    tenant.subscribe("http://127.0.0.1:9/hook", "http://127.0.0.1:9/off", "secret")
    tenant.receive_mail(people.alpine, sender="a@x.example", subject="s")
    assert {action for _, action in tenant.outbox.queues} == {"Create"}


def test_nobody_known_leaves_the_ticket_without_a_contact(tenant: Tenant, people: Seed) -> None:
    """Also who is known to another company only; who has left, see test_sandbox_mail."""
    for sender in ("new@x.example", "paul.corner@mail.test"):
        ticket_id = tenant.receive_mail(people.alpine, sender=sender, subject="s")
        assert tenant.tickets[ticket_id]["contactID"] is None


def test_a_copy_can_be_left_out_and_come_later(tenant: Tenant, people: Seed) -> None:
    """With the time at which the mail arrived."""
    ticket_id = tenant.receive_mail(
        people.alpine, sender="a@x.example", subject="s", received_at=NOON, copy=False
    )
    kept = tenant.mail.mailboxes[HELP_DESK]
    assert kept == []
    mail_id = tenant.deliver_copy(ticket_id)
    assert [(one.id, one.received_at) for one in kept] == [(mail_id, NOON)]
    with pytest.raises(KeyError):
        tenant.deliver_copy(ticket_id)


def test_a_person_can_deliver_a_mail_by_hand(
    people: Seed, server: SandboxServer, api: httpx.Client
) -> None:
    """Without credentials, into a mailbox that exists."""
    given = {
        "mailbox": HELP_DESK,
        "sender": "Ana <ana@x.example>",
        "subject": "By hand",
        "cc": ["Bruno <bruno@x.example>", "carla@x.example"],
    }
    made = httpx.post(f"{server.url}/sandbox/mails", json=given)
    unknown = httpx.post(f"{server.url}/sandbox/mails", json={**given, "mailbox": "no@x.example"})
    [kept] = api.get(MESSAGES).json()["value"]

    assert (made.status_code, unknown.status_code) == (201, 400)
    assert kept["id"] == made.json()["id"]
    assert [one["emailAddress"]["name"] for one in kept["ccRecipients"]] == [
        "Bruno",
        "carla@x.example",
    ]
