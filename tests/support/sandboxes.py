"""A tenant of its own behind real HTTP, each answer held to the contract."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from sandbox.seed import Seed, seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant
from tests.support.contract import ContractChecker

__all__ = ["api", "ids"]


@pytest.fixture
def ids(tenant: Tenant) -> Seed:
    """What the tenant begins with."""
    return seed(tenant)


@pytest.fixture
def api(tenant: Tenant) -> Iterator[httpx.Client]:
    """A client of the tenant's API, with credentials."""
    checker = ContractChecker()
    with (
        SandboxServer(tenant, wrap=checker) as server,
        httpx.Client(base_url=f"{server.api_url}/V1.0", headers=tenant.credentials) as client,
    ):
        yield client
    assert checker.violations == []
