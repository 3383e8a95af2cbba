"""The admin API: what we know and why, what accounts allow, and what people decide."""

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

# The scheme is declared for the documentation page; AdminRoute has checked the key before.
router = APIRouter(
    tags=["admin"],
    route_class=AdminRoute,
    dependencies=[Depends(HTTPBearer(auto_error=False, description="a key of API_KEYS"))],
    responses=problems(
        s401="no key, or not one of ours",
        s403="the key's role is not enough",
        s422="the request is not understood",
        s503="the database does not answer",
    ),
)
for _part in (accounts, mappings, people, tickets, participants, pause, audit, overview):
    router.include_router(_part.router)
