"""Show an entity's records as they were some seconds ago: reading may lag behind writing."""

from datetime import datetime, timedelta

from sandbox.model import Record

Table = dict[int, Record]


class Lag:
    """What one entity's table held, and when that was seen. `by` is how far reading lags."""

    def __init__(self, by: timedelta, at: datetime, table: Table) -> None:
        self.by = by
        self._seen = [(at, _copy(table))]

    def observe(self, at: datetime, table: Table) -> None:
        """Remember what the table holds now, if that is new, and forget what no read shows."""
        if self._seen[-1][1] != table:
            self._seen.append((at, _copy(table)))
        while len(self._seen) > 1 and self._seen[1][0] <= at - self.by:
            del self._seen[0]

    def shown(self, at: datetime) -> Table:
        """Return the table as a read at this time shows it."""
        old = [table for seen, table in self._seen if seen <= at - self.by]
        return old[-1] if old else self._seen[0][1]


def _copy(table: Table) -> Table:
    return {number: dict(record) for number, record in table.items()}
