"""A tenant with its people behind real HTTP, each answer checked against the contract."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from sandbox.seed import Seed
from sandbox.server import SandboxServer
from sandbox.tenant import Tenant


@pytest.fixture
def ids(people: Seed) -> Seed:
    """The ids of what the tenant begins with."""
    return people


@pytest.fixture
def api(tenant: Tenant, server: SandboxServer) -> Iterator[httpx.Client]:
    """A client of the tenant's API, with credentials."""
    url = f"{server.api_url}/V1.0"
    with httpx.Client(base_url=url, headers=tenant.credentials) as client:
        yield client
