"""Policies: what an account allows, put together from the defaults and its own document. Pure.

Applied in this order: built-in, default preset, default fields, account preset, account fields. A
preset replaces the fields that it sets, so that no default opens what an account's preset closes;
the account's own fields come last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.mail.addresses import address_key

Act = Literal["create", "hold", "ignore"]
OnInactive = Literal["hold", "reactivate", "ignore"]
KeepFor = Literal["permanent", "ticket"]
PresetName = Literal["open", "guarded", "known_only", "off"]
ListName = Literal["allowed", "denied"]

Side = Literal["inside", "outside"]

MAX_ENTRIES = 1_000
"""Addresses and domains that one list of a policy can have."""


def _entry(text: str) -> str:
    """Return an address, or a domain with or without its @, in the form that is compared."""
    text = text.strip()
    is_address = "@" in text.removeprefix("@")
    key = address_key(text if is_address else f"x@{text.removeprefix('@')}")
    if key is None:
        raise ValueError("is neither an e-mail address nor a domain, like example.com")
    return key if is_address else key.removeprefix("x@")


def _domain(text: str) -> str:
    entry = _entry(text)
    if "@" in entry:
        raise ValueError("is an address; a domain is wanted, like example.com")
    return entry


Entries = Annotated[
    tuple[Annotated[str, AfterValidator(_entry)], ...], Field(max_length=MAX_ENTRIES)
]
Domains = Annotated[
    tuple[Annotated[str, AfterValidator(_domain)], ...], Field(max_length=MAX_ENTRIES)
]


class Lifetime(BaseModel):
    """How long contacts that we create are kept: for good, or until their last ticket is over.

    inside: people of the account's own domains; outside: all others. What is left out is inherited.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    inside: KeepFor | None = None
    outside: KeepFor | None = None


class PolicyDocument(BaseModel):
    """A policy as it is stored: every field is optional, and a missing one is inherited."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    preset: PresetName | None = None
    inside: Act | None = None
    outside: Act | None = None
    other_client: Act | None = None
    inactive: OnInactive | None = None
    own_domains: Domains | None = None
    allowed: Entries | None = None
    denied: Entries | None = None
    max_new_per_ticket: Annotated[int, Field(ge=0, le=30, strict=True)] | None = None
    lifetime: Lifetime | None = None
    grace_days: Annotated[int, Field(ge=0, le=3650, strict=True)] | None = None
    act: Literal["live", "observe"] | None = None

    def fields(self) -> dict[str, Any]:
        """Return the fields that the document sets, by name, without its preset."""
        return {
            name: getattr(self, name)
            for name in type(self).model_fields
            if name != "preset" and getattr(self, name) is not None
        }


_PERMANENT = Lifetime(inside="permanent", outside="permanent")


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy in effect; the defaults are the built-in policy."""

    off: bool = False
    """No one is added to a ticket."""
    inside: Act = "create"
    outside: Act = "create"
    other_client: Act = "hold"
    inactive: OnInactive = "hold"
    own_domains: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    max_new_per_ticket: int = 10
    lifetime: Lifetime = _PERMANENT
    grace_days: int = 7
    act: Literal["live", "observe"] = "live"

    def ends(self, whose: Side) -> bool:
        """Return whether contacts from inside, or outside, are for their tickets only."""
        kept = self.lifetime.inside if whose == "inside" else self.lifetime.outside
        return kept == "ticket"

    def says(self, key: str) -> ListName | None:
        """Return the list that names an address or its domain; None if neither does.

        An address beats a domain, and a domain those above it; at the same level denied wins.
        """
        for entry in _levels(key):
            if entry in self.denied:
                return "denied"
            if entry in self.allowed:
                return "allowed"
        return None


_BY_OPENNESS: tuple[Act, ...] = ("ignore", "hold", "create")
_PRESETS: Mapping[PresetName, Mapping[str, Any]] = {
    "open": {"off": False, "inside": "create", "outside": "create", "inactive": "hold"},
    "guarded": {"off": False, "inside": "create", "outside": "hold", "inactive": "hold"},
    "known_only": {"off": False, "inside": "ignore", "outside": "ignore", "inactive": "hold"},
    "off": {"off": True},
}


@dataclass(frozen=True, slots=True)
class InEffect:
    """A policy in effect, and where each of its fields comes from."""

    policy: Policy
    origins: Mapping[str, str]


def in_effect(default: PolicyDocument, account: PolicyDocument | None = None) -> InEffect:
    """Return the policy of an account and where its fields come from.

    The origins are: built-in, default preset, default, account preset, account.
    """
    policy = Policy()
    origins = dict.fromkeys((name for name in Policy.__slots__), "built-in")
    layers = [("default", default), ("account", account)]
    for name, document in layers:
        if document is None:
            continue
        if document.preset is not None:
            closed = _preset(document.preset, policy)
            policy = replace(policy, **closed)
            origins |= dict.fromkeys(closed, f"{name} preset")
        policy = replace(policy, **_inherited(document.fields(), policy))
        origins |= dict.fromkeys(document.fields(), name)
    return InEffect(policy, origins)


def _inherited(fields: dict[str, Any], so_far: Policy) -> dict[str, Any]:
    """Complete a document's lifetime by what was set before."""
    said: Lifetime | None = fields.get("lifetime")
    if said is None:
        return fields
    return fields | {
        "lifetime": Lifetime(
            inside=said.inside or so_far.lifetime.inside,
            outside=said.outside or so_far.lifetime.outside,
        )
    }


def _preset(name: PresetName, so_far: Policy) -> dict[str, Any]:
    """Return what a preset sets; earlier fields that create unknown contacts do not outlive it."""
    values = dict(_PRESETS[name])
    outside = values.get("outside")
    if outside in ("hold", "ignore"):
        strictest = min(so_far.other_client, outside, key=_BY_OPENNESS.index)
        values |= {"other_client": strictest, "allowed": ()}
    return values


def _levels(key: str) -> list[str]:
    """Return an address and the domains that it is in, the closest first."""
    levels, domain = [key], key.rpartition("@")[2]
    while domain:
        levels.append(domain)
        domain = domain.partition(".")[2]
    return levels
