"""Change a contact and read it back: an answer of 200 alone does not prove that it is so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from app.autotask.client import Autotask
from app.autotask.models import Contact

TRIES = 3
"""How often a change is requested that no reading shows."""


async def until_shown(
    autotask: Autotask,
    contact_id: int,
    send: Callable[[], Awaitable[None]],
    shown: Callable[[Contact], bool],
    tries: int = TRIES,
) -> Contact | None:
    """Send a change until a reading shows it; return the contact as read then, else None.

    Raise what the client raises.
    """
    for _ in range(tries):
        await send()
        contact = await autotask.contact(contact_id)
        if contact is not None and shown(contact):
            return contact
    return None
