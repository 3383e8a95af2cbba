"""Counting the new people of a day, on a real PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import func, update

from app.db.database import Sessions, db_now
from app.db.tables import Ledger
from app.decide import Brought
from app.decide.policy import Side
from app.records.ledger import caps, creating
from app.records.ledger.common import Wanted
from tests.support.claims import ACCOUNT, EMAIL, SETTLE, TICKET

ANA, BRUNO = 7, 8


async def bring(
    sessions: Sessions,
    email: str,
    sender: int | None,
    *,
    account: int = ACCOUNT,
    counts_as: Side | None = "outside",
    contact: int | None = None,
) -> creating.Claim:
    """Claim a contact that a sender brings; `contact`: it is created, and has this id."""
    async with sessions() as session, session.begin():
        wanted = Wanted(
            account,
            email,
            TICKET,
            counts_as=counts_as,
            sender_id=sender,
            chain_id=await caps.chain_of(session, sender),
        )
        claim = await creating.claim(session, wanted, settle=SETTLE, read_at=await db_now(session))
        assert isinstance(claim, creating.Claim)
        if contact:
            await creating.created(session, claim, contact)
    return claim


async def counted(
    sessions: Sessions, sender: int | None, account: int = ACCOUNT, whose: Side = "outside"
) -> Brought:
    """Count what a sender brought, what came for the account, and all."""
    async with sessions() as session:
        chain_id = await caps.chain_of(session, sender)
        return await caps.brought(session, caps.Sender(account, sender, chain_id), whose)


async def age(sessions: Sessions, days: float) -> None:
    """Let the ledger be so much older."""
    async with sessions() as session, session.begin():
        await session.execute(update(Ledger).values(sent_at=Ledger.sent_at - timedelta(days=days)))


async def test_senders_who_are_no_contacts_share_their_accounts_count(sessions: Sessions) -> None:
    """Another account's have one of their own, and so has a sender who is a contact."""
    for number, (account, sender) in enumerate(
        [(ACCOUNT, None), (ACCOUNT, None), (ACCOUNT + 1, None), (ACCOUNT, ANA)]
    ):
        await bring(sessions, f"p{number}@x.example", sender, account=account)
    assert await counted(sessions, None) == Brought(2, 3, 4)
    assert await counted(sessions, None, ACCOUNT + 1) == Brought(1, 1, 4)
    assert await counted(sessions, ANA) == Brought(1, 3, 4)


async def test_a_sender_answers_for_those_whom_those_brought_whom_it_brought(
    sessions: Sessions,
) -> None:
    """However long the chain is; a sender of another chain has a count of its own."""
    sender = ANA
    for link in range(5):
        await bring(sessions, f"p{link}@x.example", sender, contact=100 + link)
        sender = 100 + link
    await bring(sessions, "last@x.example", sender)
    await bring(sessions, "other@x.example", BRUNO)
    for one in (ANA, 100, 102, 104):
        assert (await counted(sessions, one)).by_sender == 6
    assert (await counted(sessions, BRUNO)).by_sender == 1


@pytest.mark.parametrize("link", ["inside", "approved", "an earlier day"])
async def test_a_chain_holds_through_every_kind_of_person(sessions: Sessions, link: str) -> None:
    """Who was brought as a colleague, by approval, or last week, brings in Ana's name."""
    counts_as: dict[str, Side | None] = {"inside": "inside", "approved": None}
    await bring(sessions, EMAIL, ANA, counts_as=counts_as.get(link, "outside"), contact=100)
    if link == "an earlier day":
        await age(sessions, 6)
    await bring(sessions, "next@x.example", 100)
    assert (await counted(sessions, ANA)).by_sender == (await counted(sessions, 100)).by_sender == 1


async def test_a_chain_that_no_contact_began_is_the_accounts(sessions: Sessions) -> None:
    """Whom tickets without a contact brought, they bring again."""
    await bring(sessions, EMAIL, None, contact=100)
    await bring(sessions, "next@x.example", 100, contact=101)
    await bring(sessions, "more@x.example", 101)
    await bring(sessions, "elsewhere@x.example", None, account=ACCOUNT + 1)
    assert (await counted(sessions, None)).by_sender == 3
    assert (await counted(sessions, 101)).by_sender == 3


async def test_who_came_a_month_ago_answers_for_itself(sessions: Sessions) -> None:
    """Or a customer's whole staff would share one count in the end."""
    await bring(sessions, EMAIL, ANA, contact=100)
    await age(sessions, 31)
    await bring(sessions, "next@x.example", 100)
    assert (await counted(sessions, ANA)).by_sender == 0
    assert (await counted(sessions, 100)).by_sender == 1


async def test_rows_of_an_earlier_version_name_the_sender_only(sessions: Sessions) -> None:
    """They count for the sender, and the chain goes on from them."""
    await bring(sessions, EMAIL, ANA, contact=100)
    async with sessions() as session, session.begin():
        await session.execute(update(Ledger).values(chain_id=None))
    await bring(sessions, "next@x.example", 100)
    assert (await counted(sessions, ANA)).by_sender == 2


async def test_a_day_ends(sessions: Sessions) -> None:
    """What came more than 24 hours ago does not count."""
    await bring(sessions, EMAIL, ANA)
    await age(sessions, 1)
    assert await counted(sessions, ANA) == Brought(0, 0, 0)


async def test_the_two_sides_are_counted_apart(sessions: Sessions) -> None:
    """An approved person is on neither."""
    sides: list[Side | None] = ["inside", "inside", "outside", None]
    for number, side in enumerate(sides):
        await bring(sessions, f"p{number}@x.example", ANA, counts_as=side)
    assert await counted(sessions, ANA, whose="inside") == Brought(2, 2, 2)
    assert await counted(sessions, ANA, whose="outside") == Brought(1, 1, 1)


@pytest.mark.parametrize("whose", ["inside", "outside"])
@pytest.mark.parametrize("left", [True, False], ids=["refused by Autotask", "never left"])
async def test_who_was_refused_counts_and_what_never_left_does_not(
    sessions: Sessions, left: bool, whose: Side
) -> None:
    """A list of nonsense is no way round the caps; a request held back is nobody's doing."""
    claim = await bring(sessions, EMAIL, None, counts_as=whose)
    async with sessions() as session, session.begin():
        await creating.refused(session, claim, "no", left=left)
    assert await counted(sessions, None, whose=whose) == Brought(left, left, left)


# --- begun ---------------------------------------------------------------------------------------


async def begun(sessions: Sessions, later: timedelta = timedelta(0)) -> frozenset[str]:
    """Ask for the addresses that are begun, at a reading so much later."""
    async with sessions() as session:
        read_at = await db_now(session) + later
        return await creating.begun(session, ACCOUNT, [EMAIL, "x@x.example"], SETTLE, read_at)


async def test_what_is_begun_is_what_a_claim_would_not_be_the_first_of(
    sessions: Sessions,
) -> None:
    """Under way, unsure, or created too late to be seen; not what is over."""
    assert await begun(sessions) == frozenset()
    claim = await bring(sessions, EMAIL, ANA)
    assert await begun(sessions, 2 * SETTLE) == {EMAIL}
    async with sessions() as session, session.begin():
        await creating.created(session, claim, 100)
    assert await begun(sessions) == {EMAIL}
    assert await begun(sessions, 2 * SETTLE) == frozenset()


async def test_what_was_refused_is_not_begun(sessions: Sessions) -> None:
    """The address is free, and another create counts."""
    claim = await bring(sessions, EMAIL, ANA)
    async with sessions() as session, session.begin():
        await creating.refused(session, claim, "no")
    assert await begun(sessions) == frozenset()


async def test_counts_are_taken_one_after_another(sessions: Sessions) -> None:
    """Two claims at once would both find the last place free."""
    sender = caps.Sender(ACCOUNT, ANA, ANA)
    async with sessions() as first, first.begin():
        await caps.brought(first, sender, "inside", alone=True)
        async with sessions() as second, second.begin():
            await second.execute(func.set_config("lock_timeout", "50ms", True).select())
            with pytest.raises(Exception, match="lock timeout"):
                await caps.brought(second, sender, "outside", alone=True)
