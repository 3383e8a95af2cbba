"""What goes wrong on the way, and whether the write took effect."""

import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from sandbox.calls import Call
from sandbox.server import SandboxServer
from sandbox.switches import Fault, FaultKind, Faults
from sandbox.tenant import Tenant
from tests.support.contract import ContractChecker

PERSON = {"firstName": "Nia", "lastName": "Obi", "isActive": 1}


@pytest.fixture
def tenant() -> Tenant:
    tenant = Tenant()
    tenant.add_company("Corner Bakery", id=1)
    return tenant


@pytest.fixture
def api(tenant: Tenant) -> Iterator[httpx.Client]:
    checker = ContractChecker()
    with (
        SandboxServer(tenant, wrap=checker) as server,
        httpx.Client(base_url=server.api_url, headers=tenant.credentials, timeout=5) as client,
    ):
        yield client
    assert checker.violations == []


def create(api: httpx.Client, timeout: float = 5) -> httpx.Response:
    return api.post("/v1.0/Companies/1/Contacts", json=PERSON, timeout=timeout)


def eventually(holds: Callable[[], bool]) -> bool:
    """Wait up to two seconds for something that no event announces."""
    until = time.monotonic() + 2
    while not holds() and time.monotonic() < until:
        time.sleep(0.005)
    return holds()


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("error_500", 500),
        ("error_500_errors", 500),
        ("status_429", 429),
        ("unauthorized", 401),
        ("forbidden", 403),
        ("garbage", 200),
    ],
)
def test_an_answer_instead_of_the_write(
    tenant: Tenant, api: httpx.Client, kind: FaultKind, status: int
) -> None:
    """The fault answers once and nothing is written; the next request works."""
    tenant.faults.add(Fault(kind, method="POST", entity="Contacts"))

    assert create(api).status_code == status
    assert len(tenant.contacts) == 0
    assert create(api).json()["itemId"] in tenant.contacts


def test_the_plain_500_has_no_texts_and_the_other_has_the_given_one(
    tenant: Tenant, api: httpx.Client
) -> None:
    """A client can tell a refusal from a server error by its body alone."""
    tenant.faults.add(Fault("error_500"), Fault("error_500_errors", text="No more today."))

    assert create(api).headers["content-type"].startswith("text/html")
    assert create(api).json() == {"errors": ["No more today."]}


def test_429_carries_the_given_retry_after(tenant: Tenant, api: httpx.Client) -> None:
    """With a value the header is there, without it is not."""
    tenant.faults.add(Fault("status_429", retry_after="7"), Fault("status_429"))

    assert create(api).headers["Retry-After"] == "7"
    assert "Retry-After" not in create(api).headers


@pytest.mark.parametrize(("kind", "written"), [("reset_before", 0), ("reset_after", 1)])
def test_a_reset_before_or_after_the_write(
    tenant: Tenant, api: httpx.Client, kind: FaultKind, written: int
) -> None:
    """The connection is reset; only afterwards has the write taken effect."""
    tenant.faults.add(Fault(kind))

    with pytest.raises(httpx.ReadError):
        create(api)

    assert len(tenant.contacts) == written
    assert tenant.calls[-1].status == 0


@pytest.mark.parametrize(("kind", "written"), [("hang_before", 0), ("hang_after", 1)])
def test_no_answer_until_the_client_gives_up(
    tenant: Tenant, api: httpx.Client, kind: FaultKind, written: int
) -> None:
    """A hang outlasts the client's time-out, and holds no thread meanwhile."""
    tenant.faults.add(Fault(kind))

    with pytest.raises(httpx.ReadTimeout):
        create(api, timeout=0.1)

    assert len(tenant.contacts) == written
    assert create(api).status_code == 200
    assert tenant.peak["Contacts"] == 1


def test_a_hang_ends_in_a_reset_after_its_time(tenant: Tenant, api: httpx.Client) -> None:
    """A client with more patience sees the connection break."""
    tenant.faults.add(Fault("hang_before", seconds=0.05))

    with pytest.raises(httpx.ReadError):
        create(api)


def test_a_late_commit_takes_effect_after_the_client_has_looked(
    tenant: Tenant, api: httpx.Client
) -> None:
    """Nothing is there after the reset, and the write still comes, on a thread it held."""
    tenant.faults.add(Fault("late_commit", method="POST", seconds=0.15))

    with pytest.raises(httpx.ReadError):
        create(api)
    looked = api.get("/v1.0/Companies/1/Contacts").json()["items"]

    assert looked == []
    assert tenant.peak["Contacts"] == 2
    assert eventually(lambda: len(tenant.contacts) == 1)


def test_a_silent_late_commit_happens_though_the_client_has_gone(
    tenant: Tenant, api: httpx.Client
) -> None:
    """The client times out first; the write comes anyway."""
    tenant.faults.add(Fault("late_commit", seconds=0.15, silent=True))

    with pytest.raises(httpx.ReadTimeout):
        create(api, timeout=0.05)

    assert len(tenant.contacts) == 0
    assert eventually(lambda: len(tenant.contacts) == 1)


def test_a_server_that_stops_forgets_late_commits_and_frees_threads() -> None:
    """The tenant can be served again as if nothing had been going on."""
    tenant = Tenant()
    tenant.add_company("Corner Bakery", id=1)
    tenant.faults.add(Fault("late_commit", times=3), Fault("hang_before"))
    for errors in ((httpx.ReadError,) * 3, (httpx.ReadTimeout,)):
        with (
            SandboxServer(tenant) as server,
            httpx.Client(base_url=server.api_url, headers=tenant.credentials) as api,
        ):
            for error in errors:
                with pytest.raises(error):
                    create(api, timeout=0.1)

    with (
        SandboxServer(tenant) as server,
        httpx.Client(base_url=server.api_url, headers=tenant.credentials) as api,
    ):
        assert create(api).status_code == 200
    assert len(tenant.contacts) == 1


def test_somebody_else_can_be_faster(tenant: Tenant, api: httpx.Client) -> None:
    """The hook before a call can change the tenant between arrival and work."""
    ticket = tenant.new_ticket(1)
    contact = tenant.add_contact(1, "a@mail.test")
    tenant.switches.duplicate_link = "refused"

    def somebody(_call: Call) -> None:
        tenant.link(ticket, contact)

    tenant.before_call = somebody

    response = api.post(f"/v1.0/Tickets/{ticket}/AdditionalContacts", json={"contactID": contact})

    assert response.status_code == 500
    assert tenant.linked_contacts(ticket) == [contact]


def test_a_fault_waits_matches_and_is_used_up() -> None:
    """After `after` matching requests, `times` of them are hit, others never."""
    faults = Faults()
    faults.add(Fault("error_500", method="POST", path_contains="/CONTACTS", after=1, times=2))

    hits = [faults.take("POST", "Contacts", "/v1.0/companies/1/contacts") for _ in range(4)]
    other = faults.take("GET", "Contacts", "/v1.0/companies/1/contacts")

    assert [hit is not None for hit in hits] == [False, True, True, False]
    assert other is None
    assert faults.pending() == []


def test_chance_and_latency_follow_the_seed() -> None:
    """The same seed gives the same faults and delays."""

    def draw() -> list[object]:
        faults = Faults()
        faults.seed = 7
        faults.latency = (0.1, 0.9)
        faults.add(Fault("error_500", times=None, chance=0.5))
        hits = [faults.take("GET", "Tickets", "/") is not None for _ in range(20)]
        return [*hits, faults.delay()]

    first = draw()

    assert first == draw()
    assert True in first
    assert False in first
