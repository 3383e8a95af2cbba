"""A tenant with many companies, its tickets, and the people each must have in the end.

The expectation follows from how a ticket was made, never from the product's decisions.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bench.chaos.plan import STORM
from sandbox.model import COMPLETE
from sandbox.tenant import Tenant

FIRMS = 10
HELP = "help@northwind-msp.example"
TECHNICIANS = ("ivy@mail.test", "omar@mail.test")
INVALID = ("nobody", "two@at@signs.example", "no domain@", "@firm1.example")
MACHINES = ("no-reply@shared.example", "mailer-daemon@elsewhere.example")
MAX_LISTED = 7  # new people of a ticket stay below the policy's limit of 10


@dataclass(frozen=True, slots=True)
class Firm:
    """A company. `people`: contacts by first address; `second`: their other addresses."""

    id: int
    domain: str
    people: dict[str, int] = field(default_factory=dict)
    second: dict[str, int] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)  # addresses of inactive contacts
    loops: list[str] = field(default_factory=list)  # of contacts whose mail comes to the help desk


@dataclass(slots=True)
class Case:
    """A ticket to come. `result`: the result that our record must have.

    `there`: contacts that must be linked; `ours`: addresses whose contacts we must create and
    link; `others`: addresses that must not lead to a contact; `contact_id`: the ticket's own
    contact. `listed`: every address of the list. `afterwards`: for a ticket to which no one is
    added, the expectation if it were an open ticket of its firm.
    """

    company_id: int
    contact_id: int | None
    result: str = "done"
    status: int = 1
    cc: str | None = None
    there: set[int] = field(default_factory=set)
    ours: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    listed: set[str] = field(default_factory=set)
    afterwards: Case | None = None

    @property
    def addresses(self) -> set[str]:
        """All addresses of the list but those of contacts, which there names."""
        return self.ours | self.others


@dataclass(frozen=True, slots=True)
class World:
    """The firms, the one for mail of unknown senders, and the tickets to come."""

    firms: tuple[Firm, ...]
    catch_all: int
    cases: tuple[Case, ...]


def build(tenant: Tenant, seed: int, tickets: int) -> World:
    """Fill a tenant, and draw the tickets to come."""
    dice = random.Random(f"world {seed}")  # noqa: S311  no secret
    tenant.add_company("Northwind Managed IT", "www.northwind-msp.example", id=0)
    for address in TECHNICIANS:
        tenant.add_resource(address)
    firms = tuple(_firm(tenant, number) for number in range(FIRMS))
    catch_all = tenant.add_company("Unknown senders")
    cases = tuple(_case(dice, firms, catch_all, number) for number in range(tickets))
    return World(firms, catch_all, cases)


def _firm(tenant: Tenant, number: int) -> Firm:
    domain = f"firm{number}.example"
    web_address = f"https://www.{domain}/" if number % 4 else None
    firm = Firm(tenant.add_company(f"Firm {number}", web_address), domain)
    for name in ("ada", "ben", "cleo"):
        first, second = f"{name}@{domain}", f"{name}.second@{domain}"
        contact = tenant.add_contact(
            firm.id, first.title(), first=name.title(), last="Known", emailAddress2=second
        )
        firm.people[first], firm.second[second] = contact, contact
    freelancer = f"free{number}@mail.test"
    firm.people[freelancer] = tenant.add_contact(firm.id, freelancer, first="Free", last="Lance")
    tenant.add_contact(firm.id, f"left@{domain}", first="Has", last="Left", active=0)
    firm.gone.append(f"left@{domain}")
    loop = f"desk@{domain}"
    tenant.add_contact(firm.id, loop, first="A", last="Loop", emailAddress3=TECHNICIANS[0])
    firm.loops.append(loop)
    return firm


def title(number: int) -> str:
    """Return a subject per ticket: many with one subject and sender would be a mail loop."""
    letters = "abcdefghij"
    return "Printer is offline: " + "".join(letters[int(digit)] for digit in str(number))


def is_nobodys(address: str, firm: Firm | None) -> bool:
    """Return whether an address leads to no contact, on any ticket of a firm."""
    ours = address in TECHNICIANS or address.endswith("@northwind-msp.example")
    left = firm is not None and address in (*firm.gone, *firm.loops)
    return ours or left or address in MACHINES


def _case(dice: random.Random, firms: tuple[Firm, ...], catch_all: int, number: int) -> Case:
    storm = number // STORM
    firm = firms[storm % len(firms)]
    contact = dice.choice([None, *firm.people.values()])
    kind = dice.random()
    if kind < 0.05:  # mail of an unknown sender: no one is added there
        case = Case(catch_all, None, "parked")
    elif kind < 0.09:
        case = Case(firm.id, contact, "complete", COMPLETE)
    elif kind < 0.12:
        return Case(firm.id, None, "no_list")  # with a contact its list would be waited for
    else:
        case = Case(firm.id, contact)
    tokens = [
        dice.choices(_ENTRIES, _WEIGHTS)[0](dice, case, firm, firms, number)
        for _ in range(dice.randint(0, MAX_LISTED - 1))
    ]
    tokens.insert(0, _ours(case, f"storm{storm}@shared.example"))  # all of them want it at once
    case.cc = dice.choice((", ", "; ", ";")).join(_dressed(dice, token) for token in tokens)
    case.listed = set(tokens) - set(INVALID)
    if case.result != "done":
        case.afterwards = replace(case, company_id=firm.id, result="done", status=1)
        case.there, case.ours, case.others = set(), set(), set()
    return case


def _dressed(dice: random.Random, token: str) -> str:
    """Write an address as mail programs do."""
    return dice.choice((token, token, token.upper(), f"Some Body <{token}>"))


_Entry = Callable[[random.Random, Case, Firm, tuple[Firm, ...], int], str]


def _known(dice: random.Random, case: Case, firm: Firm, _firms: object, _number: int) -> str:
    address, contact = dice.choice([*firm.people.items(), *firm.second.items()])
    if contact == case.contact_id:
        case.others.add(address)
    else:
        case.there.add(contact)
    return address


def _inside(dice: random.Random, case: Case, firm: Firm, _firms: object, _number: int) -> str:
    return _ours(case, f"new{dice.randrange(8)}@{firm.domain}")


def _shared(dice: random.Random, case: Case, _firm: Firm, _firms: object, _number: int) -> str:
    return _ours(case, f"partner{dice.randrange(8)}@shared.example")


def _stranger(dice: random.Random, case: Case, _firm: Firm, _firms: object, number: int) -> str:
    return _ours(case, f"once{number}.{dice.randrange(1000)}@elsewhere.example")


def _freelancer(
    dice: random.Random, case: Case, firm: Firm, firms: tuple[Firm, ...], _number: int
) -> str:
    """A contact of another company: this company needs a contact of its own."""
    other = dice.choice([one for one in firms if one is not firm])
    return _ours(case, next(address for address in other.people if "mail.test" in address))


def _other_client(
    dice: random.Random, case: Case, firm: Firm, firms: tuple[Firm, ...], _number: int
) -> str:
    """A person of another customer: held. A firm without a web address is not known as one."""
    with_domain = [one for n, one in enumerate(firms) if n % 4 and one is not firm]
    domain = dice.choice(with_domain).domain
    return _nobody(case, f"{dice.choice(('ada', 'unknown'))}@{domain}")


def _not_wanted(dice: random.Random, case: Case, firm: Firm, _firms: object, _number: int) -> str:
    ours = (HELP, HELP.replace("@", "+tag@"), "anybody@northwind-msp.example", *TECHNICIANS)
    return _nobody(case, dice.choice((*ours, *MACHINES, *firm.gone, *firm.loops)))


def _invalid(dice: random.Random, _case: Case, _firm: Firm, _firms: object, _number: int) -> str:
    return dice.choice(INVALID)


def _ours(case: Case, address: str) -> str:
    case.ours.add(address)
    return address


def _nobody(case: Case, address: str) -> str:
    case.others.add(address)
    return address


_ENTRIES: tuple[_Entry, ...] = (
    _known,
    _inside,
    _shared,
    _stranger,
    _freelancer,
    _other_client,
    _not_wanted,
    _invalid,
)
_WEIGHTS = (5, 4, 5, 2, 2, 2, 3, 1)
