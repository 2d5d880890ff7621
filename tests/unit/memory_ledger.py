"""``ports.Ledger`` in memory, and pieces of work to count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from worker.domain.ledger import CountedWork, LedgerAccount, LedgerEntry, LedgerLine, Trip

WORK = CountedWork(objects=1, bytes=1_000, files=6, stored=1_600)


def counted(
    number: int,
    *,
    owner: str = "anna",
    recipe: str = "default",
    work: CountedWork = WORK,
    time: str = "2026-11-30T10:00:00.000000Z",
) -> LedgerEntry:
    """A piece of work by its number in its shard."""
    return LedgerEntry(
        position=f"{number:040}",
        time=time,
        asset=f"asset-{number}",
        owner=owner,
        recipe=recipe,
        work=work,
    )


class MemoryLedger:
    """The contract suite runs on it."""

    def __init__(self) -> None:
        """Start empty."""
        self._lines: dict[tuple[str, LedgerAccount, str], LedgerLine] = {}
        self._positions: dict[tuple[str, str, LedgerAccount, str], str] = {}
        self._trip: Trip | None = None

    def add(self, shard: str, counted: Sequence[LedgerEntry]) -> Mapping[str, CountedWork]:
        """See the port."""
        new: dict[str, CountedWork] = {}
        for one in counted:
            accounts = {
                LedgerAccount.ALL: "",
                LedgerAccount.OWNER: one.owner,
                LedgerAccount.RECIPE: one.recipe,
            }
            for account, name in accounts.items():
                line = (one.day, account, name)
                if one.position <= self._positions.get((shard, *line), ""):
                    continue
                self._positions[shard, *line] = one.position
                known = self._lines.get(
                    line, LedgerLine(day=one.day, account=account, name=name, work=CountedWork())
                )
                self._lines[line] = replace(
                    known,
                    work=known.work + one.work,
                    counted_to=max(known.counted_to, one.time),
                )
                if account is LedgerAccount.ALL:
                    new[one.day] = new.get(one.day, CountedWork()) + one.work
        return new

    def lines(
        self, day: str, account: LedgerAccount, name: str | None = None
    ) -> Sequence[LedgerLine]:
        """See the port."""
        found = [
            line
            for (on, of, called), line in self._lines.items()
            if on == day and of is account and name in (None, called)
        ]
        return sorted(found, key=lambda line: line.name)

    def forget(self, owner: str, days: Sequence[str]) -> int:
        """See the port."""
        gone = [
            line
            for line in self._lines
            if line[0] in days and line[1:] == (LedgerAccount.OWNER, owner) and owner
        ]
        for day, account, name in gone:
            mine, nobody = self._lines.pop((day, account, name)), (day, account, "")
            known = self._lines.get(nobody, replace(mine, name="", work=CountedWork()))
            self._lines[nobody] = replace(known, work=known.work + mine.work)
        self._positions = {
            key: position for key, position in self._positions.items() if key[1:] not in gone
        }
        return len(gone)

    def trip(self, found: Trip) -> bool:
        """See the port."""
        if self._trip is not None and self._trip.day >= found.day:
            return False
        self._trip = found
        return True

    def tripped(self) -> Trip | None:
        """See the port."""
        return self._trip

    def resume(self, day: str, *, time: str) -> Trip | None:
        """See the port."""
        if self._trip is None or self._trip.day != day:
            return None
        self._trip = replace(self._trip, resumed=self._trip.resumed or time)
        return self._trip
