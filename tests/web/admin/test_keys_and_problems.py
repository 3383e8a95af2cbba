"""The admin API: its keys, its problems and its documentation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
from fastapi import FastAPI

from app.db.tables import Due
from app.services import Services
from app.web.app import create_app
from app.web.auth import MAX_BODY
from tests.conftest import INTAKE_KEY, READ_KEY, WRITE_KEY
from tests.support.helpers import rows

ALPINE = 174
NINA = "nina@radiology.example"
CONTACTS = f"/admin/accounts/{ALPINE}/contacts"
EXAMPLES = {"account_id": ALPINE, "email": NINA, "ticket_id": 1, "participant_id": 1}
Headers = dict[str, str]


def admin_routes(app: FastAPI) -> list[tuple[str, str]]:
    """List methods and paths of the admin API, with something for each parameter."""
    found = [
        (method.upper(), path.format(**EXAMPLES))
        for path, methods in app.openapi()["paths"].items()
        if path.startswith("/admin")
        for method in sorted(methods)
    ]
    assert len(found) >= 8
    return found


# --- keys ----------------------------------------------------------------------------------------


AUTHORIZATIONS: list[tuple[str | None, int, int]] = [
    (None, 401, 401),
    ("", 401, 401),
    ("Bearer", 401, 401),
    ("Bearer ", 401, 401),
    (f"Bearer {READ_KEY}x", 401, 401),
    (f"Bearer {READ_KEY[:-1]}", 401, 401),
    (f"Basic {READ_KEY}", 401, 401),
    (READ_KEY, 401, 401),
    ("Bearer \xe9\xe9", 401, 401),
    (f"Bearer {INTAKE_KEY}", 403, 403),
    (f"Bearer {READ_KEY}", 0, 403),
    (f"bearer  {WRITE_KEY}", 0, 0),
]


async def test_every_route_wants_a_key_of_the_right_role(
    api: httpx.AsyncClient, services: Services
) -> None:
    """Whatever routes there are: reading takes `read` or `write`, all else takes `write`."""
    for authorization, reads, writes in AUTHORIZATIONS:
        headers = []
        if authorization is not None:
            headers = [(b"authorization", authorization.encode("latin-1"))]
        for method, path in admin_routes(create_app(services)):
            answer = await api.request(method, path, headers=headers)
            refused = answer.status_code if answer.status_code in (401, 403) else 0
            expected = reads if method == "GET" else writes
            assert (authorization, method, path, refused) == (authorization, method, path, expected)
            assert ("www-authenticate" in answer.headers) == (expected == 401)
            assert answer.status_code < 500


async def test_a_stranger_is_not_told_what_is_wrong_with_the_request(
    api: httpx.AsyncClient, writer: Headers
) -> None:
    """Malformed JSON, a bad number and a bad cursor are 401 without a key, 4xx with one."""
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("PUT", f"{CONTACTS}/{NINA}", {"content": b"{", "headers": {}}),
        ("GET", "/admin/tickets/none", {"headers": {}}),
        ("GET", "/admin/tickets?limit=0&cursor=x", {"headers": {}}),
    ]
    for method, path, rest in requests:
        assert (await api.request(method, path, **rest)).status_code == 401
        rest["headers"] = writer
        assert (await api.request(method, path, **rest)).status_code in (400, 422)


async def test_a_readers_key_changes_nothing(
    api: httpx.AsyncClient, services: Services, reader: Headers
) -> None:
    """403 before anything is done."""
    assert (await api.post("/admin/tickets/5/process", headers=reader)).status_code == 403
    assert await rows(services, Due) == []


# --- problems ------------------------------------------------------------------------------------

WRONG = "sally.secret@private.example"


WRONG_REQUESTS = [
    ("GET", f"/admin/tickets/{WRONG}", ""),
    ("GET", f"/admin/tickets?result={WRONG}", ""),
    ("GET", f"/admin/tickets?since={WRONG}", ""),
    ("GET", f"/admin/tickets?cursor={WRONG}", ""),
    ("GET", f"/admin/deliveries?limit={WRONG}", ""),
    ("GET", f"{CONTACTS}/{WRONG},{WRONG}", ""),
    ("GET", f"{CONTACTS}/{WRONG}", ""),
    ("PUT", f"{CONTACTS}/{WRONG}", f'{{"contact_id": "{WRONG}"}}'),
    ("PUT", f"{CONTACTS}/{WRONG}", f'"{WRONG}"'),
    ("PUT", f"{CONTACTS}/{WRONG}", f'{{"contact_id": {WRONG}'),
    ("GET", f"/admin/{WRONG}", ""),
    ("PATCH", f"{CONTACTS}/{WRONG}", ""),
]


def is_silent_problem(answer: httpx.Response) -> bool:
    """Tell whether an answer is a whole problem and does not repeat what was wrong."""
    problem = answer.json()
    return (
        400 <= answer.status_code == problem["status"] < 500
        and answer.headers["content-type"] == "application/problem+json"
        and problem["type"] == "about:blank"
        and bool(problem["title"] and problem["detail"])
        and "secret" not in answer.text
    )


async def test_an_error_is_a_problem_that_never_repeats_the_input(
    api: httpx.AsyncClient, writer: Headers
) -> None:
    """RFC 9457, with what to do; addresses that came in do not go out again."""
    headers = writer | {"Content-Type": "application/json"}
    for method, path, body in WRONG_REQUESTS:
        answer = await api.request(method, path, content=body, headers=headers)
        assert is_silent_problem(answer), (method, path, body, answer.text)


async def test_the_name_of_an_unknown_field_is_not_repeated(
    api: httpx.AsyncClient, writer: Headers
) -> None:
    """A body with key and value interchanged has an address for a name."""
    answer = await api.put(f"{CONTACTS}/{NINA}", json={WRONG: 1}, headers=writer)
    assert is_silent_problem(answer), answer.text


# --- documentation -------------------------------------------------------------------------------


async def test_the_documentation_needs_no_other_host(api: httpx.AsyncClient) -> None:
    """A server room may not reach the Internet: the page and all that it loads come from us."""
    page = await api.get("/docs")
    assert page.status_code == 200
    assert "http://" not in page.text.replace("http://service", "")
    assert "https://" not in page.text
    assert "//" not in page.text.replace("http://service", "").split("<script>")[0]
    for part in page.text.split('"'):
        if part.startswith("/static-offline-docs"):
            assert (await api.get(part)).status_code == 200


async def test_the_schema_tells_of_keys_and_problems(api: httpx.AsyncClient) -> None:
    """Every admin operation names its scheme and what a wrong key is answered with."""
    schema = (await api.get("/openapi.json")).json()
    operations = [
        operation
        for path, methods in schema["paths"].items()
        if path.startswith("/admin")
        for operation in methods.values()
    ]
    assert len(operations) >= 8
    assert all(o["security"] and {"401", "403", "503"} <= set(o["responses"]) for o in operations)
    assert "/webhooks/autotask" not in schema["paths"]


async def test_a_long_body_is_refused_before_it_is_read(api: httpx.AsyncClient) -> None:
    """By the length that is announced; without one it would have to be read to be known."""
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 65_536
            yield b" " * 65_536

    headers = {"Authorization": f"Bearer {WRITE_KEY}"}
    url = f"/admin/accounts/{ALPINE}/policy"
    whole = await api.put(url, content=b" " * (MAX_BODY + 1), headers=headers)
    assert whole.status_code == 413
    assert str(MAX_BODY) in whole.json()["detail"]
    parts = await api.put(url, content=endless(), headers=headers)
    assert (parts.status_code, read) == (411, 0)
