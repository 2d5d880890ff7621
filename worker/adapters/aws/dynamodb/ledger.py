"""The ledger in the catalog's table: counters of work that each change raises once.

::

    PK                SK                          what
    LEDGER#day        ALL##shard                  work of the day
    LEDGER#day        RECIPE#name's hash#shard    of a recipe
    LEDGER#day#n      OWNER#name's hash#shard     of an owner; n: one of eight partitions
    LEDGER            TRIP                        the newest day whose limit was passed

A line has an item for each shard of the stream, with the position of the newest change that is in
it. An item is changed by one write, on condition that its position is before the work that is
added: what comes again, after a crash or in a batch that is cut otherwise, changes nothing. Within
a shard changes come in order; those of two shards need no order, because they meet in no item.

Names come from uploads. In keys there are hashes of them: no name can be so long, or such, that it
is another key.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from worker.adapters.aws.dynamodb import schema
from worker.adapters.aws.dynamodb.items import key, text
from worker.adapters.aws.dynamodb.requests import ATTEMPTS, ConditionFailed, DynamoTable
from worker.adapters.aws.dynamodb.schema import PARTITION_KEY, SORT_KEY, TTL_ATTRIBUTE
from worker.domain.errors import EngineError, Throttled
from worker.domain.ledger import (
    CountedWork,
    LedgerAccount,
    LedgerEntry,
    LedgerLine,
    Trip,
)

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

LEDGER = "LEDGER"
TRIP = "TRIP"
THREADS = 16
"""Writes at the same time. A batch may have a line for each of a thousand owners."""
_NUMBERS = tuple(one.name for one in fields(CountedWork))
_ENDLESS = "\U0010ffff"


class DynamoLedger:
    """``ports.Ledger`` on the catalog's table. Safe between threads.

    Args:
        client: of DynamoDB, with a pool of ``THREADS`` connections or more.
        table: its name.
        sleep: waits so many seconds between attempts.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._table = DynamoTable(client, table, sleep=sleep)

    def add(self, shard: str, counted: Sequence[LedgerEntry]) -> Mapping[str, CountedWork]:
        """See the port. One conditional write for each line; all lines at once.

        If a write fails, others may be done: the same call again does what is left.
        """
        groups: dict[tuple[str, LedgerAccount, str], list[LedgerEntry]] = {}
        for one in counted:
            for account, name in _names(one):
                groups.setdefault((one.day, account, name), []).append(one)
        new: dict[str, CountedWork] = {}
        if not groups:
            return new
        with ThreadPoolExecutor(min(THREADS, len(groups))) as pool:
            written = pool.map(lambda group: self._add(shard, *group), groups.items())
            for (day, account, _), work in zip(groups, written, strict=True):
                if account is LedgerAccount.ALL and work:
                    new[day] = work
        return new

    def _add(
        self, shard: str, line: tuple[str, LedgerAccount, str], counted: Sequence[LedgerEntry]
    ) -> CountedWork:
        """Raise one line; returns what was new."""
        day, account, name = line
        at = key(_partition(day, account, name), _prefix(account, name) + _digest(shard, 12))
        expires = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(
            days=account.kept_days
        )
        for attempt in range(ATTEMPTS):
            work = sum((one.work for one in counted), CountedWork())
            try:
                self._table.update(
                    at,
                    change=f"SET #p = :p, #t = :t, #n = :n, #e = :e ADD {_terms(work)}",
                    condition="attribute_not_exists(#p) OR #p < :first",
                    names={
                        "#p": "position",
                        "#t": "time",
                        "#n": "name",
                        "#e": TTL_ATTRIBUTE,
                        **{f"#{each}": each for each in _given(work)},
                    },
                    values={
                        ":p": {"S": counted[-1].position},
                        ":first": {"S": counted[0].position},
                        ":t": {"S": max(one.time for one in counted)},
                        ":n": {"S": _storable(name)},
                        ":e": {"N": str(int(expires.timestamp()))},
                        **{f":{each}": {"N": value} for each, value in _given(work).items()},
                    },
                )
            except ConditionFailed as failed:
                item = self._table.get(at) if failed.item is None else failed.item
                counted_to = text(item or {}, "position")
                # botocore sent it again because the answer did not arrive: it is this very write.
                if failed.repeated and counted_to == counted[-1].position:
                    return work
                counted = [one for one in counted if one.position > counted_to]
                if not counted:
                    return CountedWork()
                self._table.pause(attempt)
            else:
                return work
        raise Throttled(f"the ledger of {day}: others wrote to it {ATTEMPTS} times in a row")

    def lines(
        self, day: str, account: LedgerAccount, name: str | None = None
    ) -> Sequence[LedgerLine]:
        """See the port. One query, or eight for all owners."""
        if name is not None:
            partitions = [_partition(day, account, name)]
        elif account is LedgerAccount.OWNER:
            partitions = [f"{LEDGER}#{day}#{shard}" for shard in range(schema.SHARDS)]
        else:
            partitions = [f"{LEDGER}#{day}"]
        prefix = f"{account.name}#" if name is None else _prefix(account, name)
        found: dict[str, LedgerLine] = {}
        for partition in partitions:
            sort = (prefix, prefix + _ENDLESS)
            for item in self._table.items(partition, sort=sort, ascending=True):
                line = _read(day, account, item)
                known = found.get(line.name)
                found[line.name] = line if known is None else _sum(known, line)
        return [found[each] for each in sorted(found)]

    def forget(self, owner: str, days: Sequence[str]) -> int:
        """See the port. One query a day, and one transaction of two items for each line found."""
        if not owner:
            return 0
        with ThreadPoolExecutor(THREADS) as pool:
            return sum(pool.map(lambda day: self._forget(owner, day), days))

    def _forget(self, owner: str, day: str) -> int:
        prefix = _prefix(LedgerAccount.OWNER, owner)
        partition, moved = _partition(day, LedgerAccount.OWNER, owner), 0
        for attempt in range(ATTEMPTS):
            lost = False
            for item in self._table.items(
                partition, sort=(prefix, prefix + _ENDLESS), ascending=True
            ):
                try:
                    self._hand_over(day, item)
                except ConditionFailed:  # work was added meanwhile, or another call is here
                    lost = True
                else:
                    moved += 1
            if not lost:
                return moved
            self._table.pause(attempt)
        raise Throttled(f"the ledger of {day}: others wrote to it {ATTEMPTS} times in a row")

    def _hand_over(self, day: str, item: Mapping[str, Any]) -> None:
        """Count what is in a line of an owner in nobody's line of the same shard. The position of
        that line stays: it says which changes of nobody's are in it."""
        nobody = (LedgerAccount.OWNER, "")
        shard = text(item, SORT_KEY).rpartition("#")[2]
        given = _given(_read(day, LedgerAccount.OWNER, item).work)
        self._table.move(
            dict(item),
            key(_partition(day, *nobody), _prefix(*nobody) + shard),
            change="SET #t = if_not_exists(#t, :t), #n = :n, #e = if_not_exists(#e, :e)"
            + f" ADD {', '.join(f'#{name} :{name}' for name in given)}",
            names={
                **{"#t": "time", "#n": "name", "#e": TTL_ATTRIBUTE},
                **{f"#{each}": each for each in given},
            },
            values={
                **{":t": item["time"], ":n": {"S": ""}, ":e": item[TTL_ATTRIBUTE]},
                **{f":{each}": {"N": value} for each, value in given.items()},
            },
        )

    # --- the breaker ------------------------------------------------------------------------

    def trip(self, found: Trip) -> bool:
        """See the port. One write, on condition that the newest trip is of an earlier day."""
        try:
            self._table.update(
                key(LEDGER, TRIP),
                change="SET #d = :d, #t = :t, #u = :u, #l = :l REMOVE #r",
                condition="attribute_not_exists(#d) OR #d < :d",
                names={"#d": "day", "#t": "time", "#u": "usd", "#l": "limit", "#r": "resumed"},
                values={
                    ":d": {"S": found.day},
                    ":t": {"S": found.time},
                    ":u": {"N": f"{found.usd:.9f}"},
                    ":l": {"N": f"{found.limit:.9f}"},
                },
            )
        except ConditionFailed:
            return False
        return True

    def tripped(self) -> Trip | None:
        """See the port."""
        item = self._table.get(key(LEDGER, TRIP))
        if item is None:
            return None
        try:
            return Trip(
                day=text(item, "day"),
                time=text(item, "time"),
                usd=float(item["usd"]["N"]),
                limit=float(item["limit"]["N"]),
                resumed=text(item, "resumed"),
            )
        except (KeyError, ValueError) as error:
            raise EngineError(f"{LEDGER}: no trip: {error!r}") from error

    def resume(self, day: str, *, time: str) -> Trip | None:
        """See the port. One write; of two people the first is written down."""
        try:
            self._table.update(
                key(LEDGER, TRIP),
                change="SET #r = if_not_exists(#r, :r)",
                condition="#d = :d",
                names={"#d": "day", "#r": "resumed"},
                values={":d": {"S": day}, ":r": {"S": time}},
            )
        except ConditionFailed:
            return None
        return self.tripped()


# --- items ------------------------------------------------------------------------------------


def _names(one: LedgerEntry) -> Sequence[tuple[LedgerAccount, str]]:
    return (
        (LedgerAccount.ALL, ""),
        (LedgerAccount.OWNER, one.owner),
        (LedgerAccount.RECIPE, one.recipe),
    )


def _digest(name: str, digits: int) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:digits]


def _partition(day: str, account: LedgerAccount, name: str) -> str:
    if account is not LedgerAccount.OWNER:
        return f"{LEDGER}#{day}"
    # A partition takes 1,000 writes a second, and each upload may be of another owner.
    return f"{LEDGER}#{day}#{int(_digest(name, 8), 16) % schema.SHARDS}"


def _prefix(account: LedgerAccount, name: str) -> str:
    hashed = "" if account is LedgerAccount.ALL else _digest(name, 24)
    return f"{account.name}#{hashed}#"


def _storable(name: str) -> str:
    """A name without lone surrogates, which are no UTF-8."""
    return name.encode("utf-8", "replace").decode()


def _given(work: CountedWork) -> Mapping[str, str]:
    """The amounts that are not 0, as DynamoDB takes numbers."""
    given = {name: getattr(work, name) for name in _NUMBERS}
    return {
        name: f"{value:.9f}" if isinstance(value, float) else str(value)
        for name, value in given.items()
        if value
    }


def _terms(work: CountedWork) -> str:
    return ", ".join(f"#{name} :{name}" for name in _given(work))


def _read(day: str, account: LedgerAccount, item: Mapping[str, Any]) -> LedgerLine:
    try:
        amounts: dict[str, Any] = {
            name: float(item[name]["N"]) if name == "job_hours" else int(item[name]["N"])
            for name in _NUMBERS
            if name in item
        }
        work = CountedWork(**amounts)
        return LedgerLine(
            day=day,
            account=account,
            name=item["name"]["S"],
            work=work,
            counted_to=text(item, "time"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError(f"{item.get(PARTITION_KEY)}: no line of the ledger: {error!r}") from error


def _sum(one: LedgerLine, other: LedgerLine) -> LedgerLine:
    return LedgerLine(
        day=one.day,
        account=one.account,
        name=one.name,
        work=one.work + other.work,
        counted_to=max(one.counted_to, other.counted_to),
    )
