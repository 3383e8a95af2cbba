"""Policies: how one is put together, what each preset closes, and what lists mean."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.decide import Candidate, Decision, Facts, HelpDesk, Reason, Verdict, decide
from app.decide.policy import Policy, PolicyDocument, PresetName, in_effect
from app.mail.addresses import Address

NOTHING = PolicyDocument()
NOBODY = HelpDesk(frozenset(), frozenset(), frozenset())


def document(**fields: Any) -> PolicyDocument:
    """Write a policy down."""
    return PolicyDocument.model_validate(fields)


# --- put together --------------------------------------------------------------------------------


def test_without_a_word_everybody_is_created() -> None:
    """The built-in policy is what the product is for; each field says where it comes from."""
    result = in_effect(NOTHING)
    assert result.policy == Policy()
    assert (result.policy.inside, result.policy.outside) == ("create", "create")
    assert set(result.origins.values()) == {"built-in"}


@pytest.mark.parametrize(
    ("default", "account", "outside", "origin"),
    [
        ({}, None, "create", "built-in"),
        ({"preset": "guarded"}, None, "hold", "default preset"),
        ({"preset": "guarded", "outside": "ignore"}, None, "ignore", "default"),
        ({"outside": "ignore"}, {}, "ignore", "default"),
        ({"outside": "ignore"}, {"preset": "guarded"}, "hold", "account preset"),
        ({"outside": "ignore"}, {"preset": "guarded", "outside": "create"}, "create", "account"),
        ({"preset": "known_only"}, {"preset": "open"}, "create", "account preset"),
        ({"preset": "known_only"}, {"inside": "create"}, "ignore", "default preset"),
    ],
)
def test_what_is_said_later_stands(
    default: dict[str, Any], account: dict[str, Any] | None, outside: str, origin: str
) -> None:
    """Built-in, default preset, default fields, account preset, account fields."""
    own = None if account is None else document(**account)
    result = in_effect(document(**default), own)
    assert (result.policy.outside, result.origins["outside"]) == (outside, origin)


def test_fields_that_a_preset_does_not_speak_of_are_inherited() -> None:
    """Also what the default denies, the limit and whether anything is written."""
    default = document(denied=["x.example"], max_new_per_ticket=3, act="observe", grace_days=1)
    result = in_effect(default, document(preset="guarded"))
    policy = result.policy
    assert (policy.denied, policy.max_new_per_ticket) == (("x.example",), 3)
    assert (policy.act, policy.grace_days, result.origins["act"]) == ("observe", 1, "default")


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("open", (False, "create", "create", "hold", "hold")),
        ("guarded", (False, "create", "hold", "hold", "hold")),
        ("known_only", (False, "ignore", "ignore", "hold", "ignore")),
        ("off", (True, "create", "create", "hold", "hold")),
    ],
)
def test_each_preset(preset: str, expected: tuple[object, ...]) -> None:
    """Over the built-in policy: off, inside, outside, inactive, other_client."""
    one = in_effect(NOTHING, document(preset=preset)).policy
    assert (one.off, one.inside, one.outside, one.inactive, one.other_client) == expected


@pytest.mark.parametrize("preset", ["guarded", "known_only"])
def test_a_closing_preset_takes_back_what_the_default_opened(preset: str) -> None:
    """Other customers' people and the default's allowed ones would be created in spite of it."""
    default = document(other_client="create", allowed=["x.example"], inactive="reactivate")
    result = in_effect(default, document(preset=preset))
    assert result.policy.allowed == ()
    assert result.policy.other_client != "create"
    assert result.policy.inactive == "hold"
    assert result.origins["allowed"] == "account preset"


def test_a_preset_does_not_open_what_is_stricter_still() -> None:
    """Who ignores other customers' people goes on doing so."""
    result = in_effect(document(other_client="ignore"), document(preset="guarded"))
    assert result.policy.other_client == "ignore"


def test_off_is_ended_by_another_preset_only() -> None:
    """A field alone does not open an account that is switched off."""
    default = document(preset="off")
    assert in_effect(default, document(outside="create", allowed=["x.example"])).policy.off
    assert not in_effect(default, document(preset="known_only")).policy.off


FIELDS: dict[str, Any] = {
    "inside": "hold",
    "outside": "ignore",
    "other_client": "create",
    "inactive": "reactivate",
    "own_domains": ["own.example"],
    "allowed": ["friend.example"],
    "denied": ["foe@friend.example"],
    "max_new_per_ticket": 2,
    "grace_days": 30,
    "act": "observe",
    "lifetime": {"inside": "permanent", "outside": "permanent"},
}


@pytest.mark.parametrize("preset", get_args(PresetName))
def test_an_accounts_own_fields_stand_after_its_preset(preset: str) -> None:
    """Each of them, whichever preset stands before."""
    own = document(preset=preset, **FIELDS)
    result = in_effect(document(preset="guarded"), own)
    for name, value in own.fields().items():
        assert getattr(result.policy, name) == value
        assert result.origins[name] == "account"
    assert {*FIELDS, "off"} == set(result.origins)


# --- what lists mean -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowed", "denied", "expected"),
    [
        ((), (), None),
        (("x@a.b.example",), (), "allowed"),
        ((), ("a.b.example",), "denied"),
        (("x@a.b.example",), ("a.b.example",), "allowed"),
        (("a.b.example",), ("x@a.b.example",), "denied"),
        (("a.b.example",), ("b.example",), "allowed"),
        (("b.example",), ("a.b.example",), "denied"),
        (("x@a.b.example",), ("x@a.b.example",), "denied"),
        (("b.example",), ("b.example",), "denied"),
        (("y@a.b.example", "a.b.exampl", "z.a.b.example"), (), None),
    ],
)
def test_the_closest_entry_counts_and_of_two_the_denying_one(
    allowed: tuple[str, ...], denied: tuple[str, ...], expected: str | None
) -> None:
    """An address beats its domain, a domain those above it."""
    assert Policy(allowed=allowed, denied=denied).says("x@a.b.example") == expected


def test_entries_are_read_as_addresses_are() -> None:
    """In any casing, with or without @ before a domain, international names as they are sent."""
    one = document(allowed=["Ana@X.example", "@Bücher.example"], own_domains=["@Own.Example"])
    assert one.allowed == ("ana@x.example", "xn--bcher-kva.example")
    assert one.own_domains == ("own.example",)


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"preset": "closed"}, ("preset",)),
        ({"outside": "link"}, ("outside",)),
        ({"inactive": "create"}, ("inactive",)),
        ({"allowed": ["ok.example", "not a domain"]}, ("allowed", 1)),
        ({"denied": "x.example"}, ("denied",)),
        ({"own_domains": ["ana@x.example"]}, ("own_domains", 0)),
        ({"denied": ["x.example"] * 1001}, ("denied",)),
        ({"max_new_per_ticket": 31}, ("max_new_per_ticket",)),
        ({"max_new_per_ticket": -1}, ("max_new_per_ticket",)),
        ({"lifetime": {"outside": "month"}}, ("lifetime", "outside")),
        ({"act": "dry"}, ("act",)),
        ({"outsied": "hold"}, ("outsied",)),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], where: tuple[object, ...]) -> None:
    """By its field, without what stands in it."""
    with pytest.raises(ValidationError) as caught:
        document(**fields)
    [error] = caught.value.errors()
    assert error["loc"] == where
    assert "input_value" not in str(caught.value)


# --- what always holds ---------------------------------------------------------------------------

_DOMAINS = st.sampled_from("in.example other.example out.example west.in.example".split())
_LOCALS = st.sampled_from(["ana", "jörg", "noreply"])
_KEYS = st.builds("{}@{}".format, _LOCALS, _DOMAINS)
_ACTS = st.none() | st.sampled_from(["create", "hold", "ignore"])
_ENTRIES = st.none() | st.lists(_KEYS | _DOMAINS, max_size=3)
_DEFAULTS = st.builds(
    document,
    preset=st.none() | st.sampled_from(get_args(PresetName)),
    inside=_ACTS,
    outside=_ACTS,
    other_client=_ACTS,
    inactive=st.none() | st.sampled_from(["hold", "reactivate", "ignore"]),
    allowed=_ENTRIES,
    denied=_ENTRIES,
    act=st.none() | st.sampled_from(["live", "observe"]),
)
_CANDIDATES = st.lists(st.builds(Candidate, st.integers(1, 5), st.booleans()), max_size=2)
_FACTS: st.SearchStrategy[Facts] = st.builds(
    Facts,
    help_desk=st.just(NOBODY),
    linked=st.frozensets(st.integers(1, 5), max_size=1),
    removed=st.frozensets(st.integers(1, 5), max_size=1),
    candidates=st.dictionaries(_KEYS, _CANDIDATES, max_size=4),
    account_domains=st.just(frozenset(["in.example"])),
    other_clients=st.just(frozenset(["other.example"])),
    approved=st.frozensets(_KEYS, max_size=2),
    automatic=st.booleans(),
)


def _openness(one: Decision) -> int:
    """Order what is done: nobody, ask a person, link (an inactive one before others), create."""
    if one.verdict is Verdict.LINK:
        return 2 if one.reason is Reason.INACTIVE else 3
    return {Verdict.IGNORE: 0, Verdict.HOLD: 1, Verdict.CREATE: 4}[one.verdict]


def _decision(key: str, facts: Facts, policy: Policy) -> Decision:
    known = {name: getattr(facts, name) for name in Facts.__slots__} | {"policy": policy}
    [one] = decide([Address(key)], Facts(**known))
    return one


@pytest.mark.parametrize("preset", ["guarded", "known_only", "off"])
def test_no_default_opens_what_an_accounts_preset_closes(preset: str) -> None:
    """Nobody is treated more openly than by that preset over the built-in policy."""

    @settings(max_examples=300, deadline=None)
    @given(_DEFAULTS, _FACTS, _KEYS)
    def check(default: PolicyDocument, facts: Facts, key: str) -> None:
        account = document(preset=preset)
        given_default = _decision(key, facts, in_effect(default, account).policy)
        alone = _decision(key, facts, in_effect(NOTHING, account).policy)
        assert _openness(given_default) <= _openness(alone)

    check()


@given(_DEFAULTS, _FACTS, _KEYS)
def test_where_it_is_off_nobody_is_brought(default: PolicyDocument, facts: Facts, key: str) -> None:
    """Neither linked nor created, whatever the default says and a person approved."""
    one = _decision(key, facts, in_effect(default, document(preset="off")).policy)
    assert not one.acts or one.reason is Reason.ALREADY_LINKED
