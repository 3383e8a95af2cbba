"""What an answer of Autotask's means, by its status, headers and texts."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.autotask.errors import (
    AutotaskError,
    Busy,
    Forbidden,
    Intercepted,
    Overloaded,
    Refusal,
    Refused,
    Unanswered,
    Unauthorized,
)
from app.autotask.meaning import decipher, retry_after

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)


HTML = b"<html><body>Server Error</body></html>"
MESSAGE = b'{"Message":"The requested resource does not support http method \'GET\'."}'


def texts(*errors: object) -> bytes:
    return json.dumps({"errors": errors}).encode()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b"", Unanswered),
        (200, HTML, Intercepted),
        (200, b"[]", Intercepted),
        (200, b"null", Intercepted),
        (200, b"[" * 100_000, Intercepted),
        (204, b"", Unanswered),
        (302, b"", Intercepted),
        (401, b"", Unauthorized),
        (401, texts("Duplicate"), Unauthorized),
        (403, b"", Forbidden),
        (403, texts("Duplicate"), Forbidden),
        (400, b"", Refusal.OTHER),
        (404, b"", Refusal.MISSING),
        (404, b'{"Message":"No HTTP resource was found."}', Refusal.MISSING),
        (405, MESSAGE, Refusal.OTHER),
        (415, MESSAGE, Refusal.OTHER),
        (400, texts("The title is too long."), Refusal.OTHER),
        (429, b"", Overloaded),
        (429, texts("IntegrationCode is invalid."), Overloaded),
        (429, texts("Thread Threshold Exceeded"), Busy),
        (500, b"", Unanswered),
        (500, HTML, Unanswered),
        (500, b'{"errors":[]}', Unanswered),
        (500, b'{"errors":[null,""]}', Unanswered),
        (500, b'{"errors":"text"}', Unanswered),
        (500, b'{"Message":"An error has occurred."}', Unanswered),
        (502, HTML, Unanswered),
        (503, b"", Unanswered),
        (504, b"", Unanswered),
        (599, b"", Unanswered),
    ],
)
def test_what_an_answer_means_by_its_status(
    status: int, body: bytes, expected: type[AutotaskError] | Refusal
) -> None:
    """A 5xx without texts leaves open whether a write took effect; a refusal does not."""
    with pytest.raises(AutotaskError) as caught:
        decipher(status, {}, body)
    assert _meaning(caught.value) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # notes on Autotask, 2.6
        ("Thread Threshold Exceeded", Busy),
        ("The Autotask API thread threshold of 3 threads has been exceeded.", Busy),
        ("Error Itgenatr005", Busy),
        ("The external request threshold of the database has been exceeded.", Overloaded),
        ("Execution Timeout Expired.  The timeout period elapsed.", Unanswered),
        ("The operation has timed out.", Unanswered),
        ("Transaction (Process ID 71) was deadlocked on lock resources.", Unanswered),
        # 2.1, 2.2
        ("Zone information could not be determined", Unauthorized),
        ("IntegrationCode is invalid.", Unauthorized),
        ("Invalid username or password.", Unauthorized),
        ("The logged in Resource does not have the adequate permissions", Forbidden),
        # 2.4
        (
            "No message. No matching records found. The logged in Resource may not have the "
            "required permissions to delete the data.",
            Refusal.MISSING,
        ),
        # 2.5
        (
            "Reference value on field: contactID of type: Contact does not exist or is invalid.",
            Refusal.REFERENCE,
        ),
        ("contactID: Value 12345 does not exist or is invalid", Refusal.REFERENCE),
        ("Value does not reference an existing entity for contactID.", Refusal.REFERENCE),
        ("Unexpected character encountered while parsing value: t", Refusal.OTHER),
        (
            "When assigning a Resource, you must assign both a assignedResourceID and "
            "assignedResourceRoleID.",
            Refusal.OTHER,
        ),
        (
            "The companyLocationID[7] cannot be associated with the Ticket. The Ticket and "
            "CompanyLocation must have the same companyID.",
            Refusal.OTHER,
        ),
        (
            "An unexpected error has occurred.  If the problem persists, please contact Autotask "
            "Support and reference Error ID: 1166",
            Refusal.OTHER,
        ),
        # 2.3
        (
            "Invalid query syntax. Queries are limited to 500 or fewer 'OR' conditions.",
            Refusal.OTHER,
        ),
        ("Unable to find companyName in the Contact Entity", Refusal.OTHER),
        ("Conversion failed when converting varchar 'x' to data type int", Refusal.OTHER),
        # wordings that no source gives, as the double has them
        ("A Ticket may not have more than 30 additional contacts.", Refusal.CAP),
        ("The Contact is already an additional contact of this Ticket.", Refusal.DUPLICATE),
    ],
)
def test_what_a_known_text_means(text: str, expected: type[AutotaskError] | Refusal) -> None:
    """Autotask answers 500 to most of it, so the text decides; in any casing and spacing."""
    spaced = text.upper().replace(" ", "\r\n ", 1)
    for body in (texts(text), texts({"message": text, "code": 5}), texts(spaced)):
        with pytest.raises(AutotaskError) as caught:
            decipher(500, {}, body)
        assert _meaning(caught.value) == expected


def _meaning(error: AutotaskError) -> type[AutotaskError] | Refusal:
    return error.kind if isinstance(error, Refused) else type(error)


def test_all_texts_are_kept_and_the_first_meaning_counts() -> None:
    """Autotask adds a second line that says less."""
    body = texts("Value does not reference an existing entity for contactID.",
                 "Error updating entity for record number [1].")  # fmt: skip
    with pytest.raises(Refused) as caught:
        decipher(500, {}, body)
    assert caught.value.kind is Refusal.REFERENCE
    assert len(caught.value.errors) == 2
    assert str(caught.value) == "; ".join(caught.value.errors)


def test_a_404_with_texts_is_a_missing_record_too() -> None:
    """The contract allows an errors array for "a record that does not exist"."""
    with pytest.raises(Refused) as caught:
        decipher(404, {}, texts("The requested resource was not found."))
    assert caught.value.kind is Refusal.MISSING


@pytest.mark.parametrize("bad", ["\0", "\ud800"])
def test_texts_can_be_stored(bad: str) -> None:
    """Autotask quotes what it was sent; PostgreSQL has no NUL and no lone surrogates."""
    with pytest.raises(Refused) as caught:
        decipher(500, {}, texts(f"The value {bad} is wrong."))
    assert "\0" not in str(caught.value)
    assert str(caught.value).encode()


def test_a_good_answer_is_its_object() -> None:
    """Whatever the object has in it."""
    assert decipher(200, {}, b'{"item":null}') == {"item": None}
    assert decipher(201, {}, b'{"itemId":4}') == {"itemId": 4}


@given(st.integers(100, 599), st.binary(max_size=40) | JSON.map(lambda v: json.dumps(v).encode())
       | st.lists(JSON, max_size=3).map(lambda v: texts(*v)))  # fmt: skip
def test_no_answer_means_anything_else(status: int, body: bytes) -> None:
    """Whatever comes, it is an object or an AutotaskError."""
    with suppress(AutotaskError):
        assert isinstance(decipher(status, {}, body), dict)


NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("  ", None),
        ("0", 1.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("99999999", 3600.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 13:00:30 +0100", 30.0),
        ("Sun, 01 Mar 2026 12:00:30", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 1.0),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("soon", None),
        ("Sun, 99 Mar 2026 12:00:30 GMT", None),
    ],
)
def test_when_to_come_again(value: str | None, seconds: float | None) -> None:
    """Seconds or a date; nonsense is as good as nothing."""
    assert retry_after(value, NOW) == seconds


def test_a_date_far_away_is_capped_as_well() -> None:
    """Or a ticket waits for the year 9998."""
    assert retry_after("Fri, 31 Dec 9998 23:59:59 GMT", NOW) == 3600.0


def test_a_number_that_is_far_too_long_is_capped_as_well() -> None:
    """Python itself refuses to read it."""
    assert retry_after("9" * 5000, NOW) == 3600.0


def test_an_absurd_date_raises_nothing() -> None:
    """What it means does not matter."""
    retry_after("Sun, 01 Mar 2026 12:00:00 +99999999999999999999", NOW)


def test_a_429_carries_its_header() -> None:
    """The client's headers are case-insensitive; decipher asks in lower case."""
    with pytest.raises(Overloaded) as caught:
        decipher(429, {"retry-after": "17"}, b"")
    assert caught.value.retry_after == 17


@pytest.mark.parametrize(
    "text",
    [
        "firstName: Value Unauthorized is wrong.",
        "The name 'IntegrationCode is invalid.' is too long.",
        "emailAddress: Value timeout@client.example has the wrong form.",
        "Access Denied <request-threshold@client.example> is no address.",
    ],
)
def test_what_a_stranger_wrote_decides_nothing(text: str) -> None:
    """Autotask quotes names and addresses; they must not pause everybody's work."""
    with pytest.raises(Refused) as caught:
        decipher(500, {}, texts(text))
    assert caught.value.kind is Refusal.OTHER


@pytest.mark.parametrize("status", [200, 203, 301, 307, 400, 401, 403, 404, 405, 407, 418])
@pytest.mark.parametrize(
    "body",
    [
        HTML,
        b"<!DOCTYPE html><title>Web Page Blocked!</title>",
        b"Access denied by policy 17",
        b"The logged in Resource does not have the adequate permissions",
        b'{"error":"blocked","id":17}',
        b'{"fault":{"faultstring":"Rate limit"}}',
        b'[{"errors":["IntegrationCode is invalid."]}]',
        b'"IntegrationCode is invalid."',
        b"\xff\xfe\x00garbage",
    ],
)
def test_what_is_not_in_autotasks_form_says_nothing_about_us(status: int, body: bytes) -> None:
    """A firewall, a proxy or a captive portal: neither credentials nor rights, nor its effect."""
    with pytest.raises(Intercepted, match=f"answered in its place \\({status}, text/html\\)"):
        decipher(status, {"content-type": "text/html; charset=utf-8"}, body)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520])
def test_a_page_with_a_5xx_is_as_good_as_no_answer(status: int) -> None:
    """Autotask's own load balancer answers so in an outage, in which no person may fail."""
    with pytest.raises(Unanswered, match="in Autotask's form") as caught:
        decipher(status, {}, HTML)
    assert not isinstance(caught.value, Intercepted)


@pytest.mark.parametrize("body", [b"", b"  ", MESSAGE, texts("no"), texts()])
@pytest.mark.parametrize(("status", "error"), [(401, Unauthorized), (403, Forbidden)])
def test_a_401_and_a_403_in_autotasks_form(
    status: int, error: type[AutotaskError], body: bytes
) -> None:
    """Live tenants answer them without a body; the framework below with a Message."""
    with pytest.raises(error):
        decipher(status, {}, body)


@pytest.mark.parametrize("status", [403, 500])
@pytest.mark.parametrize(
    "text",
    [
        "You do not have permission to delete time entries that you did not create.",
        "You do not have permission to edit contacts that you did not create.",
        "User not authorized to change the contact.",
    ],
)
def test_one_record_that_may_not_be_touched(status: int, text: str) -> None:
    """It says nothing about any other record."""
    with pytest.raises(Refused) as caught:
        decipher(status, {}, texts(text))
    assert caught.value.kind is Refusal.OTHER


@pytest.mark.parametrize(
    "name",
    [
        "The logged in Resource does not have the adequate permissions",
        "thread threshold",
        "request threshold",
        "The external request threshold of the database has been exceeded.",
        "IntegrationCode is invalid.",
        "Invalid username or password.",
        "x\r\nThe logged in Resource does not have the adequate permissions",
        "User not authorized to change",
    ],
)
@pytest.mark.parametrize(
    "text",
    [
        "lastName: {}",
        "lastName {} has the wrong form.",
        "Value '{}' of lastName is wrong.",
        "The lastName {} is wrong.",
    ],
)
def test_a_strangers_name_widens_no_reach(name: str, text: str) -> None:
    """Whatever a person calls themself in a mail, only they are refused."""
    with pytest.raises(Refused):
        decipher(500, {}, texts(text.format(name)))
