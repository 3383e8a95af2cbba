"""Domains that are no organisation's own."""

from __future__ import annotations

import pytest

from app.decide import is_provider, without_providers
from app.decide.providers import _PROVIDERS, _SHARED
from app.mail.addresses import address_key

MORE = ("mail.island.example",)


@pytest.mark.parametrize(
    "domain",
    """
    gmail.com googlemail.com outlook.com outlook.de live.nl hotmail.com hotmail.co.uk hotmail.fr
    hotmail.com.br yahoo.com yahoo.co.jp yahoo.com.au yahoo.gr gmx.de gmx.net gmx.at aol.com
    icloud.com proton.me web.de t-online.de orange.fr libero.it qq.com seznam.cz wp.pl bigpond.com
    btinternet.com comcast.net uol.com.br naver.com mail.ru telenet.be bluewin.ch ziggo.nl
    vip.qq.com mail.telepac.pt tampabay.rr.com home.t-online.de members.aol.com uk.yahoo.com
    pages.facebook.com sites.google.com
    onmicrosoft.com co.uk com.au
    mail.island.example north.mail.island.example
    """.split(),
)
def test_where_everybody_can_be(domain: str) -> None:
    """Providers in most countries, what lies below them, and what organisations share."""
    assert is_provider(domain, MORE)


@pytest.mark.parametrize(
    "domain",
    """
    contoso.onmicrosoft.com contoso.mail.onmicrosoft.com bakery.wixsite.com bakery.demon.co.uk
    bakery.co.uk bakery.com.au google.com microsoft.com apple.com yahoo-inc.com yahooinc.com
    gmx-shop.de mygmail.com gmail.com.example gmail.example hotmail.bakery.example aol.de.example
    telekom.de island.example mail.example web.example live.example outlook.example me.example
    """.split(),
)
def test_what_is_an_organisations_own(domain: str) -> None:
    """What looks alike, what is given out below a shared name, and all else."""
    assert not is_provider(domain, MORE)


def test_those_that_can_be_ones_own_are_left() -> None:
    """Built-in and added ones are taken out."""
    domains = ["alpine.example", "gmail.com", "mail.island.example", "contoso.onmicrosoft.com"]
    assert without_providers(domains, MORE) == {"alpine.example", "contoso.onmicrosoft.com"}
    assert "mail.island.example" in without_providers(domains, ())


def test_each_name_is_a_domain_and_stands_once() -> None:
    """In the form that is compared; none is below another one, or in both lists."""
    for name in _PROVIDERS | _SHARED:
        assert address_key(f"x@{name}") == f"x@{name}"
    assert not _PROVIDERS & _SHARED
    redundant = {
        name for name in _PROVIDERS if is_provider(name.partition(".")[2]) and name.count(".") > 1
    }
    assert {name for name in redundant if name.partition(".")[2] not in _SHARED} == set()
