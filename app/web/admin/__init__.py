"""The admin API: the router of all its modules."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from fastapi.security import HTTPBearer

from app.web.admin import (
    accounts,
    audit,
    mappings,
    overview,
    participants,
    pause,
    people,
    tickets,
)
from app.web.admin.common import problems
from app.web.auth import AdminRoute

# The scheme is declared for the documentation page; AdminRoute checks the key before.
router = APIRouter(
    tags=["admin"],
    route_class=AdminRoute,
    dependencies=[Depends(HTTPBearer(auto_error=False, description="a key of API_KEYS"))],
    responses=problems(
        s401="no key, or an unknown one",
        s403="the key's role does not allow it",
        s422="the request is invalid",
        s503="the database does not answer",
    ),
)
for _part in (accounts, mappings, people, tickets, participants, pause, audit, overview):
    router.include_router(_part.router)
