"""Callouts as Autotask signs and writes them, and as others might."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.autotask.callouts import BadCallout, Callout, parse_callout, signature_is_valid
from sandbox.callouts import encode_callout, sign

SECRET = "a-webhook-secret-of-tests"
OTHER = "the-secret-before-that-one"
BODY = encode_callout({"Action": "Create", "EntityType": "Ticket", "Id": 7})

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)


# --- the signature of a callout ------------------------------------------------------------------


def test_the_signature_is_the_one_that_openssl_makes() -> None:
    """`openssl dgst -sha1 -hmac <secret> -binary | base64`, over the bytes as they came."""
    body = rb'{"Action":"Create","Fields":{"Title":"A\u0026B"}}'
    assert signature_is_valid([SECRET], "sha1=6WC+e01xh4E/MJBoCpAqnTojNkc=", body)


@pytest.mark.parametrize(
    "title",
    [
        "Tom & Ana",
        "a+b",
        "it's",
        'say "hi"',
        "<b>",
        "`x`",
        "Zürich, Élan",
        "printer 🖨 on fire",
        "日本",
    ],
)
def test_only_the_raw_bytes_match(title: str) -> None:
    """Autotask escapes what others do not: a body that was read and written again is another."""
    body = encode_callout({"Action": "Create", "Fields": {"Title": title}})
    header = sign(SECRET, body)

    assert body.isascii()
    assert json.loads(body)["Fields"]["Title"] == title
    assert signature_is_valid([SECRET], header, body)
    assert not signature_is_valid([SECRET], header, json.dumps(json.loads(body)).encode())


@pytest.mark.parametrize(
    ("secrets", "valid"),
    [
        ([SECRET], True),
        ([OTHER, SECRET], True),
        ([SECRET, OTHER], True),
        ([OTHER], False),
        ([SECRET.upper()], False),
        ([], False),
    ],
)
def test_any_of_several_secrets_will_do(secrets: list[str], valid: bool) -> None:
    """A secret is changed without a gap: for a time, two are in force."""
    assert signature_is_valid(secrets, sign(SECRET, BODY), BODY) is valid


def test_a_secret_is_its_utf_8_bytes() -> None:
    """Not every secret is ASCII."""
    secret = "schlüssel-für-außen"
    assert signature_is_valid([secret], sign(secret, BODY), BODY)


def _digest(name: str) -> bytes:
    return hmac.new(SECRET.encode(), BODY, name).digest()


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "sha1=",
        "sha1=no base64!",
        "sha1=é",
        "sha1=" + base64.b64encode(b"short").decode(),
        "sha1=" + base64.b64encode(_digest("sha1")[:-1]).decode(),
        "sha1=" + _digest("sha1").hex(),
        "sha256=" + base64.b64encode(_digest("sha256")).decode(),
        "sha1=" + base64.b64encode(hashlib.sha1(BODY).digest()).decode(),
        f"{sign(OTHER, BODY)}, {sign(SECRET, BODY)}",
        sign(SECRET, BODY).replace("=", "=!", 1),
        sign(SECRET, BODY + b" "),
        sign(SECRET, b""),
    ],
)
def test_anything_else_is_no_signature(header: str | None) -> None:
    """Missing, malformed, truncated, of another algorithm, of another body: refused, no error."""
    assert not signature_is_valid([SECRET], header, BODY)


@pytest.mark.parametrize("shape", ["{}", " {} ", "\t{}"])
def test_blanks_and_a_missing_prefix_are_forgiven(shape: str) -> None:
    """Others have met headers without `sha1=`."""
    bare = sign(SECRET, BODY).removeprefix("sha1=")
    assert signature_is_valid([SECRET], shape.format(bare), BODY)
    assert signature_is_valid([SECRET], shape.format("sha1=" + bare), BODY)


# --- the body of a callout -----------------------------------------------------------------------

TICKET = {"Action": "Create", "EntityType": "Ticket", "Id": 7}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"Id": "7"}, {}),
        ({"Id": 0}, {"entity_id": 0}),
        ({"Id": 2**63 - 1}, {"entity_id": 2**63 - 1}),
        ({"Guid": "g-1", "SequenceNumber": 3}, {"guid": "g-1", "sequence_number": 3}),
        ({"SequenceNumber": "3"}, {"sequence_number": 3}),
        ({"SequenceNumber": True}, {}),
        ({"SequenceNumber": 2**63}, {}),
        ({"SequenceNumber": -1}, {}),
        ({"SequenceNumber": 1.0}, {}),
        ({"EventTime": "2025-09-15T14:57:50Z"}, {"event_time": "2025-09-15T14:57:50Z"}),
        ({"EventTime": None, "Guid": ["g"]}, {}),
        ({"Guid": "g\0", "EventTime": "\ud800"}, {}),
        ({"Guid": ""}, {}),
        ({"Guid": "x" * 201}, {}),
        ({"Fields": {"Status": "5"}}, {}),
        ({"Fields": []}, {}),
        ({"Fields": None, "PersonID": "x", "PersonId": 4}, {}),
        ({"Fields": [[[[{}]]]]}, {}),
    ],
)
def test_what_a_callout_says(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    """Numbers come as numbers or text; what is of no use is left out, and harms nothing."""
    usual: dict[str, Any] = {"action": "Create", "entity_type": "Ticket", "entity_id": 7}
    body = json.dumps(TICKET | changes).encode()
    assert parse_callout(body) == Callout(**(usual | expected))


@pytest.mark.parametrize("change", [str.lower, str.upper, str.title, str])
def test_the_casing_of_keys_and_values_does_not_matter(change: Any) -> None:
    """Sources differ: PersonID and PersonId, Ticket and ticket."""
    body = json.dumps({change("Action"): change("Create"), change("EntityType"): change("Ticket"),
                       change("Id"): 7}).encode()  # fmt: skip
    callout = parse_callout(body)
    assert callout.is_new_ticket
    assert callout.entity_id == 7


def test_of_a_key_that_comes_twice_one_counts() -> None:
    """The last one, however it is written."""
    body = b'{"Action":"Update","EntityType":"Ticket","Id":1,"Id":2,"action":"Create","ID":3}'
    assert parse_callout(body) == Callout("Create", "Ticket", 3)


@pytest.mark.parametrize(
    ("action", "entity_type", "new"),
    [
        ("Create", "Ticket", True),
        ("create", "TICKET", True),
        ("Update", "Ticket", False),
        ("Delete", "Ticket", False),
        ("Create", "TicketNote", False),
        ("Create", "Account", False),
        ("Created", "Ticket", False),
    ],
)
def test_one_event_is_worked_on(action: str, entity_type: str, new: bool) -> None:
    """Everything else is understood and passed over."""
    body = json.dumps({"Action": action, "EntityType": entity_type, "Id": 1}).encode()
    assert parse_callout(body).is_new_ticket is new


def test_a_deactivated_message_names_no_entity() -> None:
    """Seen without EntityType and Id."""
    assert parse_callout(b'{"Action":"Deactivated","Guid":"g"}') == Callout("Deactivated", guid="g")


WRONG_IDS: tuple[Any, ...] = (
    None, True, -7, 7.0, "7.0", "-7", "", "٧", 2**63, "9" * 20, [7], {}
)  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'[{"Action":"Create","EntityType":"Ticket","Id":7}]',
        b'"Create"',
        b"{",
        b"\xff\xfe\x00",
        b"id=7&action=Create",
        b'{"Id":' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"Action":' * 5_000,
        b"{}",
        b'{"Action":null,"EntityType":"Ticket","Id":7}',
        b'{"Action":["Create"],"EntityType":"Ticket","Id":7}',
        b'{"Action":"Create","Id":7}',
        b'{"Action":"Create","EntityType":"Ticket"}',
        *(json.dumps(TICKET | {"Id": wrong}).encode() for wrong in WRONG_IDS),
    ],
)
def test_what_cannot_be_understood_is_said_to_be_so(body: bytes) -> None:
    """One error for all of it, whatever is sent; it quotes nothing of the body."""
    with pytest.raises(BadCallout, match=r"^the body (is|has|names) [A-Za-z ]+$"):
        parse_callout(body)


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_body_raises_anything_else(body: bytes) -> None:
    """Whatever comes, it is a callout or a BadCallout."""
    with suppress(BadCallout):
        parse_callout(body)
