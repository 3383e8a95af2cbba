"""`autotask-cc read`: shows what would be read, and why not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from app.cli import cli
from app.cli.read import WHY
from app.mail.eml import MAX_MAIL_FILE

ROOT = Path(__file__).parents[2]
BLOCK = "From: Ann <ann@client.example>\nCc: Bob Miller <bob@client.example>\nSubject: Printer\n"
MAIL = f"Message-ID: <1@client.example>\n{BLOCK}To: dora@client.example\n\nHello"


def run(*words: str, stdin: str | bytes = "") -> Result:
    """Run the command on a standard input."""
    return CliRunner().invoke(cli, ["read", *(words or ("-",))], input=stdin)


def as_json(text: str | bytes, *words: str) -> dict[str, Any]:
    """Give what the command says to machines."""
    shown = run("-", "--json", *words, stdin=text)
    assert shown.exit_code == 0, shown.output
    answer: dict[str, Any] = json.loads(shown.stdout)
    return answer


def addresses(text: str | bytes, *words: str) -> list[str]:
    """Give the addresses that it finds."""
    return [one["address"] for one in as_json(text, *words)["addresses"]]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("bob@client.example; dora@client.example", "list"),
        ("Bob: bob@client.example", "list"),
        ("CC: bob@client.example", "description"),
        (BLOCK, "description"),
        (f"<p>{BLOCK.replace('<', '&lt;')}</p>".replace("\n", "<br>"), "description"),
        (MAIL, "eml"),
        ("From ann Wed\n" + MAIL, "eml"),
        ("\ufeff" + MAIL, "eml"),
        (BLOCK.encode("utf-16"), "description"),
    ],
)
def test_what_it_is_is_guessed(text: str | bytes, kind: str) -> None:
    """By what stands at its top; and Bob is found in each."""
    answer = as_json(text)
    assert answer["read_as"] == kind
    assert answer["addresses"][0]["address"] == "bob@client.example"


def test_the_guess_can_be_overruled() -> None:
    """And what is no mail is not read as one."""
    assert as_json(MAIL, "--as", "description")["read_as"] == "description"
    assert run("-", "--as", "eml", stdin="bob@client.example").exit_code == 1
    assert as_json("CC: bob@client.example", "--as", "list")["read_as"] == "list"


def test_to_counts_where_it_is_asked_for() -> None:
    """As with INCLUDE_TO."""
    assert addresses(MAIL) == ["bob@client.example"]
    assert addresses(MAIL, "--to") == ["bob@client.example", "dora@client.example"]


def test_machines_are_told_everything() -> None:
    """Names as a contact would get them, and all that is known of the message."""
    text = MAIL.replace("Printer", "Re: T20250915.0001").replace("bob@", "a@b, bob@")
    answer = as_json("Auto-Submitted: auto-replied\n" + text)
    rejected = answer.pop("rejected")
    assert answer == {
        "read_as": "eml",
        "sender": "ann@client.example",
        "sender_unclear": False,
        "subject": "Re: T20250915.0001",
        "follow_up": True,
        "message_id": "1@client.example",
        "automatic": "Auto-Submitted",
        "cut": False,
        "addresses": [],
    }
    assert [one["reason"] for one in rejected] == ["ambiguous"]
    assert rejected[0]["why"] == WHY["ambiguous"]


def test_people_are_shown_with_the_names_of_their_contact() -> None:
    """A table of who was found, one of what was rejected, and the counts."""
    shown = run(stdin=BLOCK.replace("\nSubject", "; {{cc}}\nSubject"))
    assert shown.exit_code == 0
    cells = [cell.strip() for cell in re.split("[│\n]", shown.stdout)]
    found = cells.index("bob@client.example")
    assert cells[found : found + 4] == ["bob@client.example", "Bob Miller", "Bob", "Miller"]
    rejected = cells.index("{{cc}}")
    assert cells[rejected : rejected + 3] == ["{{cc}}", "template", WHY["template"]]
    assert "From: ann@client.example" in cells
    assert "Subject: Printer" in cells
    assert "1 found, 1 rejected." in cells


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("From: Ann\nCc: bob@client.example\n", "not exactly one usable address"),
        (BLOCK.replace("Printer", "T20250915.0001"), "is a follow-up"),
        ("Auto-Submitted: auto-replied\n" + MAIL, "Automatic mail, because of: Auto-Submitted"),
        ("Cc: " + "a@x.example, " * 700 + "b@x.exam", "the list may go on"),
        ("Cc:\n", "Nobody was copied."),
    ],
)
def test_what_is_peculiar_is_said(text: str, sentence: str) -> None:
    """In a sentence, for people."""
    assert sentence in " ".join(run(stdin=text).stdout.split())


def test_what_strangers_wrote_is_no_markup_and_no_control() -> None:
    """Neither rich's markup nor a terminal's escape sequences have an effect."""
    text = (
        'Cc: "[red]Bob[/red] \x1b[31m" <bob@client.example>; \x1b]0;owned\x07 ; [/]x\n'
        "Subject: [bold]a\x1b[2J\N{RIGHT-TO-LEFT OVERRIDE}\n"
    )
    shown = run(stdin=text)
    assert shown.exit_code == 0
    assert "[red]Bob[/red]" in shown.stdout
    assert "[bold]a" in shown.stdout
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]", shown.stdout)


def test_every_reason_is_explained() -> None:
    """A sentence for each that the reader of lists has."""
    source = (ROOT / "app" / "mail" / "addresses.py").read_text(encoding="utf-8")
    [reasons] = re.findall(r"Reasons: (.*?)\n *\"\"\"", source, re.S)
    assert set(re.findall(r"`(\w+)`", reasons)) == set(WHY)


@pytest.mark.parametrize(("text", "words"), [("Hello\n", []), ("", []), ("x", ["--as", "eml"])])
def test_no_list_is_a_failure(text: str, words: list[str]) -> None:
    """Said in a sentence, with an exit code for scripts."""
    shown = run("-", *words, stdin=text)
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert shown.stderr.startswith("There is no list in it")


def test_a_file_is_read(tmp_path: Path) -> None:
    """By its name, whatever its encoding."""
    path = tmp_path / "a.eml"
    path.write_bytes(MAIL.replace("Bob", "Jürgen").encode("cp1252"))
    answer = json.loads(run(str(path), "--json").stdout)
    assert answer["addresses"][0]["name"] == "Jürgen Miller"


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """As an attachment of that size would be."""
    path = tmp_path / "a.eml"
    path.write_bytes(b"a@x.example" + b" " * MAX_MAIL_FILE)
    shown = run(str(path))
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert shown.stderr.splitlines() == [f"{path} is larger than 10 MB, the most that is read."]


@pytest.mark.parametrize("name", ["", "missing", "nul\x00"])
def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, name: str) -> None:
    """A directory, nothing, and what is no name: one sentence, no traceback."""
    shown = run(str(tmp_path) + "/" + name)
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert shown.stderr.count("\n") == 1
    assert "cannot be read: " in shown.stderr


@pytest.mark.process
def test_it_works_as_a_process_that_knows_no_letters() -> None:
    """On a terminal that only has ASCII, and with bytes on standard input."""
    shown = subprocess.run(
        [sys.executable, "-m", "app", "read", "-"],
        cwd=ROOT,
        env={"PYTHONIOENCODING": "ascii", "PATH": ""},
        input="Cc: Jürgen <j@client.example>".encode("cp1252"),
        capture_output=True,
        check=True,
    )
    assert shown.stderr == b""
    assert rb"J\xfcrgen" in shown.stdout
