"""What the doctor thinks of web addresses, without asking for any."""

from __future__ import annotations

import pytest

from app.autotask.models import Company
from app.ops.doctor.companies import judge_web_addresses
from app.ops.doctor.findings import State


def companies(*web_addresses: str | None) -> list[Company]:
    """Give accounts with these web addresses; the first one is the MSP itself."""
    told = enumerate(web_addresses)
    return [Company.model_validate({"id": n, "webAddress": web}) for n, web in told]


@pytest.mark.parametrize(
    ("web_address", "says"),
    [
        ("alpine.example", None),
        ("https://www.alpine.example/contact", None),
        ("contoso.onmicrosoft.com", None),
        ("", None),
        ("  ", None),
        (None, None),
        ("www.gmail.com", "web address is a provider's (1): account 1 (gmail"),
        ("http://mail.yahoo.co.uk/x", "account 1 (mail.yahoo.co.uk)"),
        ("onmicrosoft.com", "account 1 (onmicrosoft.com)"),
        ("https://www.facebook.com/bakery", "account 1 (facebook.com)"),
        ("island.example", "account 1 (island.example)"),
        ("n/a", "web address is no domain (1): account 1."),
        ("client.com, client.net", "no domain (1): account 1."),
        ("192.168.1.10", "no domain (1): account 1."),
        ("http://[bad", "no domain (1): account 1."),
    ],
)
def test_web_addresses_that_make_nobody_a_colleague(web_address: str, says: str | None) -> None:
    """Each is named with what is wrong; one that is empty is nobody's fault."""
    found = judge_web_addresses(companies("msp.example", web_address), ("island.example",))
    assert found.state is (State.OK if says is None else State.WARNING)
    assert says is None or says in found.found


def test_many_are_counted_and_some_named() -> None:
    """Our own organization is named as such."""
    found = judge_web_addresses(companies("gmx.net", *["web.de"] * 14, "none"), ())
    assert found.found.startswith("Accounts whose web address is a provider's (15): ")
    assert "account 0 (your own organization) (gmx.net)" in found.found
    assert ", and 5 more. Accounts whose web address is no domain (1): " in found.found
    assert "own_domains" in found.cure
