"""Health as to facts that cannot be read: when it is said, what, and no names of people."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func

from app.db.tables import KnownFact, Worker
from app.services import Services
from tests.support.clients import client_of
from tests.web.test_health import codes, store

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def working(services: Services) -> Services:
    """A deployment whose worker says that it lives, and whose tenant is known."""
    await services.tenancy.api_url()
    await store(services, Worker(id="one"))
    return services


def failing(name: str, minutes: float, *, ref: int = 0, read: bool = False) -> KnownFact:
    """Make a fact that cannot be read since so many minutes."""
    since = func.now() - minutes * MINUTE
    return KnownFact(
        name=name,
        ref=ref,
        version=1,
        read_at=since - timedelta(days=1) if read else None,
        failing_since=since,
        again_at=func.now() + MINUTE,
        error="POST Companies: no right",
    )


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([failing("companies", 1)], True),
        ([failing("companies", 1, read=True)], False),
        ([failing("companies", 16, read=True)], True),
        ([failing("web_domain", 1, ref=174)], True),
        ([failing("web_domain", 1, ref=0)], True),
        ([failing("statuses", 1)], False),
        ([failing("statuses", 16)], True),
        ([failing("use", 14)], False),
        ([failing("use", 16)], True),
        ([failing("note_choices", 1)], False),
        ([failing("contact_fields", 1)], False),
        ([failing("of an older build", 99)], False),
    ],
    ids=itertools.count(),
)
async def test_it_is_said_at_once_where_people_are_decided_about(
    api: httpx.AsyncClient, working: Services, rows: list[KnownFact], said: bool
) -> None:
    """Without any value; else after a quarter of an hour."""
    await store(working, *rows)
    assert await codes(api) == (["facts_not_read"] if said else [])


async def test_settings_can_make_a_fact_matter_or_not(
    working: Services, make_services: Callable[..., Any]
) -> None:
    """Named statuses do; own domains that are named do in place of the web address."""
    named = await make_services(
        complete_statuses=("Closed",), own_domains=("northwind-msp.example",)
    )
    await store(named, failing("statuses", 1), failing("web_domain", 99))
    async with client_of(named) as api:
        [problem] = (await api.get("/health/work")).json()["problems"]
    assert "The statuses of tickets cannot be read" in problem["detail"]
    assert "web address" not in problem["detail"]


async def test_one_problem_names_all_of_them(api: httpx.AsyncClient, working: Services) -> None:
    """Since when, why, what counts meanwhile, and which accounts."""
    accounts = [failing("web_domain", 5 + n, ref=170 + n) for n in range(7)]
    await store(working, failing("companies", 30, read=True), *accounts)
    [problem] = (await api.get("/health/work")).json()["problems"]
    detail = problem["detail"]
    assert "POST Companies: no right. What was read at 20" in detail
    assert "(account 176, 175, 174, 173, 172 and 2 more) cannot be read since" in detail
    assert "Meanwhile the account has the own_domains" in detail
    assert problem["since"] is not None
    assert "autotask-cc doctor" in problem["cure"]
    assert "@" not in detail
