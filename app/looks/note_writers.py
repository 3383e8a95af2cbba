"""Who wrote a ticket's notes: a co-managing user is a customer, and a contact's note is a mail."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from app.autotask.client import Autotask
from app.autotask.models import Note, Resource


@dataclass(slots=True)
class Writers:
    """The writers of notes; each is asked for once, inactive ones too."""

    autotask: Autotask
    _known: dict[int, Resource] = field(default_factory=dict)

    async def by_technicians(self, notes: Iterable[Note]) -> list[Note]:
        """Return the notes of technicians; one that Autotask does not show counts as technician."""
        return [note for note, writer in await self._written(notes) if writer.is_technician]

    async def not_by_customers(self, notes: Iterable[Note]) -> list[Note]:
        """Return the notes of technicians and API users."""
        return [note for note, writer in await self._written(notes) if not writer.is_customers]

    async def _written(self, notes: Iterable[Note]) -> list[tuple[Note, Resource]]:
        """Return the notes that resources wrote, each with its writer."""
        written = [(note, note.creator_id) for note in notes if note.creator_id is not None]
        unknown = {writer for _, writer in written} - self._known.keys()
        if unknown:
            shown = await self.autotask.resources(unknown)
            self._known |= {one: Resource(id=one) for one in unknown}
            self._known |= {resource.id: resource for resource in shown}
        return [(note, self._known[writer]) for note, writer in written]
