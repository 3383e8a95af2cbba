"""Check that no transaction is open while Autotask or Microsoft is waited for.

A slow vendor would keep its connection, its locks and its snapshot.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

from app.autotask import calls, zone
from app.autotask.sending import send
from app.graph.client import Graph

_open: dict[SessionTransaction, asyncio.Task[Any]] = {}


@event.listens_for(Session, "after_begin")
def _began(_session: Session, transaction: SessionTransaction, _connection: object) -> None:
    task = _task()
    if task:
        _open[transaction] = task


@event.listens_for(Session, "after_transaction_end")
def _ended(_session: Session, transaction: SessionTransaction) -> None:
    _open.pop(transaction, None)


def watch(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets each request sent while its task has a transaction open."""
    held: list[str] = []

    async def watched(
        http: httpx.AsyncClient, request: httpx.Request, *bounds: Any
    ) -> tuple[int, httpx.Headers, bytes]:
        if asyncio.current_task() in _open.values():
            held.append(f"{request.method} {request.url.path}")
        return await send(http, request, *bounds)

    ask_graph = Graph._send

    async def watched_graph(graph: Graph, method: str, url: str, **parts: Any) -> httpx.Response:
        if asyncio.current_task() in _open.values():
            held.append(f"{method} {urlsplit(url).path}")
        return await ask_graph(graph, method, url, **parts)

    for module in (calls, zone):
        monkeypatch.setattr(module, "send", watched)
    monkeypatch.setattr(Graph, "_send", watched_graph)
    return held


def _task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs: a command's own, synchronous transaction
        return None
