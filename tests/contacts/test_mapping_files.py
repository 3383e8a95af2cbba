"""Mappings as CSV: what is written, what is refused and where, and that it is all or nothing."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contacts.csv_cells import plain_cell, safe_cell
from app.contacts.mapping_files import MAX_LINES, export_to, import_file, read_lines
from app.db.database import db_now
from app.db.states import Origin
from app.db.tables import Audit, Mapping
from app.records import mappings
from app.services import Services
from sandbox.seed import Seed
from sandbox.switches import Fault
from sandbox.tenant import Tenant
from tests.cli.test_cli import Run, _logs_as_before, run
from tests.support.helpers import rows

__all__ = ["_logs_as_before", "run"]

HEAD = "account_id,email,contact_id,origin\n"
CARLA = "carla.mendes@alpine-dental.example"
DASH = "-carla@alpine-dental.example"


async def exported(services: Services) -> str:
    """Give what an export writes."""
    file = io.StringIO()
    await export_to(services, file)
    return file.getvalue()


async def take(services: Services, text: str, *, dry_run: bool = False) -> Any:
    """Import a file's text."""
    return await import_file(services, text.encode(), dry_run=dry_run)


async def stored(services: Services) -> dict[str, tuple[int, str]]:
    """Give contact and origin by address."""
    return {row.email: (row.contact_id, row.origin) for row in await rows(services, Mapping)}


async def remember(
    services: Services, account: int, email: str, contact: int, origin: Origin = Origin.FOUND
) -> None:
    """Have a mapping."""
    async with services.sessions() as session, session.begin():
        await mappings.remember(session, account, {email: contact}, origin)


# --- cells ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin", "=+-@\t\r\n")
def test_no_cell_is_executed(begin: str) -> None:
    """What begins like a formula begins with an apostrophe."""
    assert safe_cell(f"{begin}1+1") == f"'{begin}1+1"
    assert safe_cell(f"a{begin}b") == f"a{begin}b"


@given(st.text(alphabet="'=+-@\ta1", max_size=5))
def test_a_cell_comes_back_as_it_was(text: str) -> None:
    """Also one that had an apostrophe of its own."""
    assert plain_cell(safe_cell(text)) == text
    assert safe_cell(text)[:1] not in tuple("=+-@\t")


# --- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        f"{HEAD}174,{CARLA},7,manual\n".encode(),
        f"{HEAD}174,{CARLA},7,manual\n".encode("utf-8-sig"),
        f"{HEAD}174,{CARLA},7,\n".replace(",", ";").replace("\n", "\r\n").encode(),
        f"Email, Contact_ID ,account_id\n\n{CARLA.upper()}, 7 ,174\n,,\n".encode(),
        f'"account_id","email","contact_id"\n"174","{CARLA}","7"'.encode(),
    ],
    ids=["plain", "BOM", "semicolons", "other order, no origin, blank lines", "quotes"],
)
def test_a_file_is_read_as_spreadsheets_save_it(data: bytes) -> None:
    """UTF-8 with and without its mark, both separators, line ends of all kinds."""
    lines, refusals = read_lines(data)
    assert refusals == []
    assert [(one.account_id, one.email, one.contact_id) for one in lines] == [(174, CARLA, 7)]
    assert lines[0].by_person


@pytest.mark.parametrize(
    ("text", "number", "words"),
    [
        ("", 1, "names the columns"),
        (f"174,{CARLA},7,manual\n", 1, "names the columns"),
        ("account_id,email\n", 1, "names the columns"),
        ("account_id,email,contact_id,colour\n", 1, "names the columns"),
        ("account_id,email,contact_id,email\n", 1, "names the columns"),
        (f"{HEAD}174,{CARLA}\n", 2, "2 cells"),
        (f"{HEAD}\n0,{CARLA},7,\n", 3, "account_id"),
        (f"{HEAD}1e3,{CARLA},7,\n", 2, "account_id"),
        (f"{HEAD}{2**31},{CARLA},7,\n", 2, "account_id"),
        (f"{HEAD}174,{CARLA},-7,\n", 2, "contact_id"),
        (f"{HEAD}174,{CARLA},,\n", 2, "contact_id"),
        (f"{HEAD}174,,7,\n", 2, "email"),
        (f'{HEAD}174,"{CARLA}, b@x.example",7,\n', 2, "exactly one"),
        (f"{HEAD}174,Carla <{CARLA}>,7,\n", 2, "exactly one"),
        (f"{HEAD}174,{CARLA},7,nonsense\n", 2, "origin"),
        (f"{HEAD}174,{CARLA},7,\n174,{CARLA.upper()},8,\n", 3, "Line 2"),
        (f'{HEAD}174,{CARLA},7,\n174,"b"x,7,\n', 3, "not CSV"),
        (f'{HEAD}174,"{CARLA},7,\n', 2, "not CSV"),
        (f'{HEAD}174,"{CARLA}\n",7,\n174,x,7,\n', 4, "email"),
    ],
)
def test_what_is_wrong_with_a_line_is_said(text: str, number: int, words: str) -> None:
    """With the number of the line on which its row begins."""
    _, [refusal] = read_lines(text.encode())
    assert refusal.number == number
    assert words in refusal.reason


def test_a_file_in_another_encoding_is_refused() -> None:
    """Guessed letters would be other addresses."""
    _, [refusal] = read_lines(f"{HEAD}174,jörg@x.example,7,\n".encode("latin-1"))
    assert (refusal.number, "UTF-8" in refusal.reason) == (2, True)


def test_a_file_has_a_limit() -> None:
    """It is read whole, and Autotask asked about all of it."""
    body = "".join(f"174,p{n}@x.example,7,\n" for n in range(MAX_LINES + 1))
    lines, [refusal] = read_lines((HEAD + body).encode())
    assert (lines, refusal.number) == ([], MAX_LINES + 2)


# --- importing -----------------------------------------------------------------------------------


async def test_what_was_exported_changes_nothing(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """Neither records nor origins, and Autotask is not asked."""
    await remember(services, people.alpine, CARLA, people.carla)
    await remember(services, people.alpine, DASH, people.carla, Origin.MANUAL)
    text = await exported(services)
    assert f"{people.alpine},'{DASH},{people.carla},manual\n" in text
    before = await stored(services)

    came = await take(services, text)

    assert (came.new, came.changed, came.same, came.refusals) == (0, 0, 2, ())
    assert await stored(services) == before
    assert tenant.calls == []
    assert await rows(services, Audit) == []


async def test_what_was_exported_is_taken_by_another_database(
    services: Services, people: Seed
) -> None:
    """As manual mappings, and recorded with counts and without addresses."""
    text = (
        f"{HEAD}{people.alpine},{CARLA},{people.carla},found\n"
        f"{people.alpine},'{DASH},{people.muted},manual\n"
    )
    came = await take(services, text)
    assert (came.new, came.changed, came.same) == (2, 0, 0)
    assert await stored(services) == {
        CARLA: (people.carla, Origin.MANUAL),
        DASH: (people.muted, Origin.MANUAL),
    }
    assert {row.email: row.muted for row in await rows(services, Mapping)} == {
        CARLA: False,
        DASH: True,
    }
    [record] = await rows(services, Audit)
    assert (record.who, record.what) == ("cli", "mappings_imported")
    assert record.detail == {"new": 2, "changed": 0, "same": 0}


@pytest.mark.parametrize("origin", ["manual", ""])
async def test_a_found_mapping_can_be_confirmed(
    services: Services, people: Seed, origin: str
) -> None:
    """The contact is the same, and from then on it is a person's word."""
    await remember(services, people.alpine, CARLA, people.carla)
    came = await take(services, f"{HEAD}{people.alpine},{CARLA},{people.carla},{origin}\n")
    assert (came.new, came.changed, came.same) == (0, 1, 0)
    assert await stored(services) == {CARLA: (people.carla, Origin.MANUAL)}


async def test_a_found_line_with_another_contact_is_a_persons_word(
    services: Services, people: Seed
) -> None:
    """Somebody changed it in the file, or has an older file and imports it all the same."""
    await remember(services, people.alpine, CARLA, people.carla)
    await take(services, f"{HEAD}{people.alpine},{CARLA},{people.bruno},found\n")
    assert await stored(services) == {CARLA: (people.bruno, Origin.MANUAL)}


Says = Callable[[Seed], tuple[str, int]]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (lambda p: ("a@x.example", 999_999), "has no contact 999999"),
        (lambda p: ("a@x.example", p.dora), "is inactive"),
        (lambda p: ("a@x.example", p.jurgen), "is of account 176"),
        (lambda p: ("help+1@northwind-msp.example", p.carla), "own_address"),
        (lambda p: ("omar.haddad@mail.test", p.carla), "technician"),
    ],
    ids=["no contact", "inactive", "another account's", "our own address", "a technician's"],
)
async def test_one_bad_line_leaves_everything_as_it_was(
    services: Services, people: Seed, line: Says, words: str
) -> None:
    """Each is named with its line, and the good ones are not imported either."""
    email, contact = line(people)
    text = (
        f"{HEAD}{people.alpine},{CARLA},{people.carla},\n"
        f"{people.alpine},{email},{contact},\n"
        f"{people.alpine},nonsense,7,\n"
    )
    came = await take(services, text)
    assert [one.number for one in came.refusals] == [3, 4]
    assert words in came.refusals[0].reason
    assert await stored(services) == {}
    assert await rows(services, Audit) == []


async def test_a_contact_who_has_an_address_of_ours_is_refused(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """What is sent to that contact comes back as a ticket."""
    loop = tenant.add_contact(
        people.alpine, "x@y.example", emailAddress2="help@northwind-msp.example"
    )
    came = await take(services, f"{HEAD}{people.alpine},{CARLA},{loop},\n")
    assert "comes to the help desk" in came.refusals[0].reason


async def test_a_dry_run_stores_nothing(services: Services, tenant: Tenant, people: Seed) -> None:
    """It says what would come of the file."""
    text = f"{HEAD}{people.alpine},{CARLA},{people.carla},\n"
    came = await take(services, text, dry_run=True)
    assert (came.new, came.refusals) == (1, ())
    assert await stored(services) == {}
    assert await rows(services, Audit) == []


async def test_many_contacts_are_asked_for_at_once(
    services: Services, tenant: Tenant, people: Seed
) -> None:
    """A hundred in a query, and how far it is can be shown."""
    ids = [tenant.add_contact(people.alpine, f"p{n}@x.example") for n in range(150)]
    text = HEAD + "".join(f"{people.alpine},p{n}@x.example,{i},\n" for n, i in enumerate(ids))
    seen: list[tuple[int, int]] = []

    def progress(done: int, of: int) -> None:
        seen.append((done, of))

    came = await import_file(services, text.encode(), dry_run=False, progress=progress)

    assert came.new == 150
    assert len([c for c in tenant.calls if c.path.endswith("/Contacts/query")]) == 2
    assert seen == [(0, 150), (100, 150), (150, 150)]


# --- the commands --------------------------------------------------------------------------------


def test_a_file_goes_out_and_comes_in(
    run: Run, environ: dict[str, str], people: Seed, tmp_path: Path
) -> None:
    """Refusals are listed and end with code 1; a good file is taken, exported, and the same."""
    file, names = tmp_path / "in.csv", f"{people.alpine},{CARLA}"
    file.write_text(f"{HEAD}{names},{people.dora},\nx,y,z,\n")
    code, out, errors = run("mappings", "import", str(file), **environ)
    assert (code, out) == (1, "")
    assert "line 2: Contact" in errors
    assert "line 3: account_id" in errors
    assert "Nothing was imported: 2 of its lines are wrong." in errors

    file.write_text(f"{HEAD}{names},{people.carla},\n")
    code, out, _ = run("mappings", "import", str(file), "--dry-run", **environ)
    assert (code, out) == (0, "1 would be added, 0 would be changed, 0 as before.\n")
    code, out, _ = run("mappings", "import", str(file), **environ)
    assert (code, out) == (0, "1 added, 0 changed, 0 as before.\n")

    again = tmp_path / "out.csv"
    assert run("mappings", "export", str(again), **environ)[:2] == (0, "")
    assert again.read_bytes().startswith(b"\xef\xbb\xbfaccount_id")
    code, out, _ = run("mappings", "import", str(again), **environ)
    assert (code, out) == (0, "0 added, 0 changed, 1 as before.\n")
    code, out, _ = run("mappings", "export", "-", **environ)
    assert out == f"{HEAD}{names},{people.carla},manual\n"


def test_a_file_that_is_not_there_is_said(run: Run, environ: dict[str, str]) -> None:
    """In a sentence, exit code 1."""
    code, _, errors = run("mappings", "import", "absent.csv", **environ)
    assert code == 1
    assert "absent.csv: No such file or directory." in errors


def test_an_autotask_that_cannot_be_asked_is_said(
    run: Run, environ: dict[str, str], tenant: Tenant, people: Seed, tmp_path: Path
) -> None:
    """And nothing is stored."""
    (tmp_path / "in.csv").write_text(f"{HEAD}{people.alpine},{CARLA},{people.carla},\n")
    tenant.faults.add(Fault("error_500", times=None))
    code, out, errors = run("mappings", "import", str(tmp_path / "in.csv"), **environ)
    assert (code, out) == (1, "")
    assert "Autotask cannot be asked now" in errors
    assert "Traceback" not in errors
    assert run("mappings", "export", "-", **environ)[1] == HEAD


async def test_an_export_of_many_pages_has_each_mapping_once(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over accounts, in their order, also when the last page is full."""
    monkeypatch.setattr("app.records.mappings.PAGE", 3)
    entries = [(account, f"p{n}@x.example") for account in (7, 8) for n in range(3)]
    async with services.sessions() as session, session.begin():
        now = await db_now(session)
        await mappings.set_all(session, dict.fromkeys(reversed(entries), (1, None)), now)
    lines = (await exported(services)).splitlines()
    assert lines[1:] == [f"{account},{email},1,manual" for account, email in entries]
