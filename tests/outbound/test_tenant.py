"""Which tenant a deployment serves: stored by the first start, and no other afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from app.autotask import protocol, zone
from app.autotask.errors import AutotaskError, Unauthorized
from app.db.database import make_engine, make_sessions
from app.db.tables import Tenant as TenantRow
from app.outbound.tenant import Tenancy, WrongTenant
from app.services import Services
from app.settings.settings import Settings
from sandbox.server import SandboxServer
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.support.helpers import rows

ELSEWHERE = "https://webservices6.autotask.net/ATServicesRest"
NewTenancy = Callable[..., Tenancy]


@pytest.fixture
def zones(server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sandbox say where the tenant is, and be accepted as a zone."""
    monkeypatch.setattr(zone, "_ZONES", server.api_url)
    monkeypatch.setattr(protocol, "is_zone_url", lambda url: True)


@pytest.fixture
async def start(services: Services, settings: Settings) -> AsyncIterator[NewTenancy]:
    """Start one more process on the same database: `start()`, or with other settings."""
    engine = make_engine(settings.database_url or "")

    def new(**changes: Any) -> Tenancy:
        other = settings.model_copy(update=changes)
        return Tenancy(other, make_sessions(engine), services.http)

    yield new
    await engine.dispose()


async def test_the_first_start_stores_the_address_that_is_set(
    services: Services, start: NewTenancy, settings: Settings, tenant: Tenant
) -> None:
    """It is used as it is, and nobody is asked."""
    assert await start().api_url() == settings.autotask_api_url
    [row] = await rows(services, TenantRow)
    assert (row.id, row.api_url, row.web_url) == (1, settings.autotask_api_url, None)
    assert tenant.calls == []


@pytest.mark.usefixtures("zones")
async def test_the_first_start_stores_what_autotask_says(
    services: Services, start: NewTenancy, server: SandboxServer, tenant: Tenant
) -> None:
    """Asked once in a process, also by many at once; its slash at the end is not ours."""
    tenancy = start(autotask_api_url=None)
    urls = await asyncio.gather(*(tenancy.api_url() for _ in range(5)))
    assert set(urls) == {server.api_url}
    [row] = await rows(services, TenantRow)
    assert (row.api_url, row.web_url) == (server.api_url, f"{server.url}/")
    assert len(tenant.calls) == 1


async def test_the_same_tenant_may_start_again(start: NewTenancy, settings: Settings) -> None:
    """Any number of processes, and any number of times."""
    urls = await asyncio.gather(*(start().api_url() for _ in range(4)))
    assert {*urls, await start().api_url()} == {settings.autotask_api_url}


@pytest.mark.usefixtures("zones")
@pytest.mark.parametrize("asked", [False, True])
async def test_another_tenant_is_refused(
    services: Services, start: NewTenancy, settings: Settings, tenant: Tenant, asked: bool
) -> None:
    """Set or found: the text names both and what to do, and what is stored stays."""
    await start().api_url()
    tenant.switches.zone_url = f"{ELSEWHERE}/"
    with pytest.raises(WrongTenant) as caught:
        await start(autotask_api_url=None if asked else ELSEWHERE).api_url()

    text = str(caught.value)
    assert settings.autotask_api_url
    assert settings.autotask_api_url in text
    assert ELSEWHERE in text
    assert "database of its own" in text
    assert [row.api_url for row in await rows(services, TenantRow)] == [settings.autotask_api_url]


async def test_of_two_tenants_that_start_at_once_one_is_refused(start: NewTenancy) -> None:
    """Neither sees the other's row before it writes its own."""
    ended = await asyncio.gather(
        start().api_url(), start(autotask_api_url=ELSEWHERE).api_url(), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in ended) == ["WrongTenant", "str"]


@pytest.mark.usefixtures("zones")
@pytest.mark.parametrize("kind", ["error_500", "reset_before", "garbage", "unauthorized"])
async def test_what_is_stored_is_used_while_autotask_cannot_say(
    start: NewTenancy, server: SandboxServer, tenant: Tenant, kind: Any
) -> None:
    """A start during Autotask's outage is a start."""
    await start(autotask_api_url=None).api_url()
    tenant.faults.add(Fault(kind))
    assert await start(autotask_api_url=None).api_url() == server.api_url


@pytest.mark.usefixtures("zones")
async def test_the_first_start_needs_an_answer(
    services: Services, start: NewTenancy, server: SandboxServer, tenant: Tenant
) -> None:
    """Nothing is stored before; the same process asks again the next time."""
    tenancy = start(autotask_api_url=None)
    tenant.faults.add(Fault("error_500"))
    with pytest.raises(AutotaskError):
        await tenancy.api_url()
    assert await rows(services, TenantRow) == []
    assert await tenancy.api_url() == server.api_url


@pytest.mark.usefixtures("zones")
async def test_an_unknown_user_is_told_so(start: NewTenancy) -> None:
    """A mistyped AUTOTASK_USERNAME shows at the first start."""
    with pytest.raises(Unauthorized, match="Zone information"):
        await start(autotask_api_url=None, autotask_username="nobody@x.example").api_url()


@pytest.mark.usefixtures("zones")
@pytest.mark.parametrize("set_first", [True, False])
async def test_an_address_may_be_set_or_unset_later(
    start: NewTenancy, server: SandboxServer, set_first: bool
) -> None:
    """The same API is the same tenant, whether it was set or found."""
    await start(autotask_api_url=server.api_url if set_first else None).api_url()
    again = start(autotask_api_url=None if set_first else server.api_url)
    assert await again.api_url() == server.api_url
