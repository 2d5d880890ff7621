"""Requests to one table: paging, batches and what to do when a part of a batch is refused.

botocore retries single calls (mode ``standard``, a few attempts). This module retries what botocore
cannot know: the unprocessed part of a batch, and two transactions on one item. All retries are
bounded and end in ``Throttled``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from worker.adapters.aws.dynamodb.items import Item
from worker.adapters.aws.dynamodb.schema import (
    PARTITION_KEY,
    SORT_KEY,
    TTL_ATTRIBUTE,
    index_keys,
)
from worker.adapters.aws.errors import aws_call, error_code
from worker.domain.errors import Throttled

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_dynamodb.type_defs import WriteRequestTypeDef

READ_BATCH = 100
WRITE_BATCH = 25
ATTEMPTS = 6
"""Of a batch that is refused in part, and of a write that others were faster with."""
FIRST_PAUSE = 0.02
"""Seconds before the second attempt; doubles with each further one, with full jitter: 0.6 s at
most in all."""

_LOST = frozenset(
    {
        "ConditionalCheckFailed",
        "ConditionalCheckFailedException",
        "TransactionConflict",
        "TransactionConflictException",
    }
)


class ConditionFailed(Exception):
    """A conditional write was refused, or met a transaction. Caught within this package.

    Attributes:
        item: the item that is there; None if there is none, or if the answer does not say.
        repeated: the call was sent more than once: an earlier attempt of it may have succeeded
            without its answer arriving.
    """

    def __init__(self, item: Item | None, *, repeated: bool) -> None:
        super().__init__("the condition does not hold")
        self.item = item
        self.repeated = repeated


class DynamoTable:
    """One table. As safe between threads as its client, which is.

    Args:
        client: from boto3; its configuration decides on timeouts and retries of single calls.
        name: of the table.
        sleep: waits so many seconds; for tests that do not want to.
    """

    def __init__(
        self, client: DynamoDBClient, name: str, *, sleep: Callable[[float], None]
    ) -> None:
        self._client = client
        self._name = name
        self._sleep = sleep

    def pause(self, attempt: int) -> None:
        """Wait before attempt number ``attempt + 1``, counted from 0."""
        self._sleep(random.uniform(0, FIRST_PAUSE * 2**attempt))

    # --- single items -----------------------------------------------------------------------

    def get(self, key: Item) -> Item | None:
        """One item, strongly consistent."""
        with aws_call(f"read from table {self._name}"):
            found = self._client.get_item(TableName=self._name, Key=key, ConsistentRead=True)
        return found.get("Item")

    def put(self, item: Item, condition: Mapping[str, Any] | None = None) -> None:
        """Write one item.

        Args:
            item: with its key.
            condition: from :func:`unless_changed` or :func:`unless_newer`.

        Raises:
            ConditionFailed: the condition does not hold.
        """
        with aws_call(f"write to table {self._name}"), _conditions():
            self._client.put_item(TableName=self._name, Item=item, **(condition or {}))

    def claim(self, key: Item, *, holder: str, now: str, until: str, expires: int) -> int:
        """Write an item on condition that there is none, that it has ended or is of this holder.

        Args:
            key: of the item.
            holder: who writes it.
            now, until: times as text of one width, in order.
            expires: when it goes, seconds since 1970.

        Returns:
            How often it has been written.

        Raises:
            ConditionFailed: another holder has it.
        """
        with aws_call(f"write to table {self._name}"), _conditions():
            answer = self._client.update_item(
                TableName=self._name,
                Key=key,
                UpdateExpression="SET #h = :h, #u = :u, #e = :e ADD #c :one",
                ConditionExpression="attribute_not_exists(#p) OR #u <= :now OR #h = :h",
                ExpressionAttributeNames={
                    "#p": PARTITION_KEY,
                    "#h": "holder",
                    "#u": "until",
                    "#e": TTL_ATTRIBUTE,
                    "#c": "claims",
                },
                ExpressionAttributeValues={
                    ":h": {"S": holder},
                    ":u": {"S": until},
                    ":e": {"N": str(expires)},
                    ":now": {"S": now},
                    ":one": {"N": "1"},
                },
                ReturnValues="UPDATED_NEW",
            )
        return int(answer["Attributes"]["claims"]["N"])

    def update(
        self,
        key: Item,
        *,
        change: str,
        condition: str,
        names: Mapping[str, str],
        values: Item,
    ) -> None:
        """Change attributes of one item, on a condition.

        Args:
            change, condition: expressions, with ``#name`` and ``:name``.
            names: of attributes, by what stands for them.
            values: by what stands for them.

        Raises:
            ConditionFailed: the condition does not hold; it has the item that is there.
        """
        with aws_call(f"write to table {self._name}"), _conditions():
            self._client.update_item(
                TableName=self._name,
                Key=key,
                UpdateExpression=change,
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )

    def transact(
        self, *, put: Item, condition: Mapping[str, Any], puts: Iterable[Item], deletes: list[Item]
    ) -> None:
        """Write several items or none, on a condition on the first.

        Raises:
            ConditionFailed: the condition does not hold, or another transaction is on the items.
        """
        writes: list[Any] = [
            {"Put": {"TableName": self._name, "Item": put, **condition}},
            *({"Put": {"TableName": self._name, "Item": item}} for item in puts),
            *({"Delete": {"TableName": self._name, "Key": key}} for key in deletes),
        ]
        with aws_call(f"write to table {self._name}"), _conditions():
            # boto3 adds a token, so that a repeated request has one effect.
            self._client.transact_write_items(TransactItems=writes)

    def move(
        self, source: Item, target: Item, *, change: str, names: Mapping[str, str], values: Item
    ) -> None:
        """Delete an item and change another one by what was in it, both or none.

        Args:
            source: the item, on condition that it is still like this in ``position``.
            target: key of the other one.
            change, names, values: as in :meth:`update`.

        Raises:
            ConditionFailed: the item is gone or another one, or a transaction is on the items.
        """
        key = {name: source[name] for name in (PARTITION_KEY, SORT_KEY)}
        writes: list[Any] = [
            {
                "Delete": {
                    "TableName": self._name,
                    "Key": key,
                    "ConditionExpression": "#p = :p",
                    "ExpressionAttributeNames": {"#p": "position"},
                    "ExpressionAttributeValues": {":p": source["position"]},
                }
            },
            {
                "Update": {
                    "TableName": self._name,
                    "Key": target,
                    "UpdateExpression": change,
                    "ExpressionAttributeNames": names,
                    "ExpressionAttributeValues": values,
                }
            },
        ]
        with aws_call(f"write to table {self._name}"), _conditions():
            self._client.transact_write_items(TransactItems=writes)

    # --- lists ------------------------------------------------------------------------------

    def entries(
        self, index: str, partition: str, *, ascending: bool, beyond: str | None, page: int
    ) -> Iterator[Mapping[str, Any]]:
        """The keys in one partition of an index, lazily, a page a call. Eventually consistent.

        Args:
            index: its name.
            partition: value of its partition key.
            ascending: lowest sort key first; else highest first.
            beyond: only sort keys that come after this one.
            page: entries of one call; 0 for as many as fit into its megabyte.
        """
        partition_key, sort_key = index_keys(index)
        names, values = {"#p": partition_key}, {":p": {"S": partition}}
        condition = "#p = :p"
        if beyond is not None:
            names["#s"], values[":s"] = sort_key, {"S": beyond}
            condition += " AND #s > :s" if ascending else " AND #s < :s"
        request: dict[str, Any] = {
            "TableName": self._name,
            "IndexName": index,
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": values,
            "ScanIndexForward": ascending,
        }
        return self._pages(request | ({"Limit": page} if page else {}))

    def items(
        self, partition: str, *, sort: tuple[str, str], ascending: bool, page: int = 0
    ) -> Iterator[Mapping[str, Any]]:
        """The items of one partition with sort keys in a range, both ends included; consistent."""
        request: dict[str, Any] = {
            "TableName": self._name,
            "KeyConditionExpression": "#p = :p AND #s BETWEEN :a AND :z",
            "ExpressionAttributeNames": {"#p": PARTITION_KEY, "#s": SORT_KEY},
            "ExpressionAttributeValues": {
                ":p": {"S": partition},
                ":a": {"S": sort[0]},
                ":z": {"S": sort[1]},
            },
            "ScanIndexForward": ascending,
            "ConsistentRead": True,
        }
        return self._pages(request | ({"Limit": page} if page else {}))

    def keys(self, partition: str) -> list[Item]:
        """The primary keys of all items of one partition; consistent."""
        request: dict[str, Any] = {
            "TableName": self._name,
            "KeyConditionExpression": "#p = :p",
            "ExpressionAttributeNames": {"#p": PARTITION_KEY, "#s": SORT_KEY},
            "ExpressionAttributeValues": {":p": {"S": partition}},
            "ProjectionExpression": "#p, #s",
            "ConsistentRead": True,
        }
        return [dict(item) for item in self._pages(request)]

    def _pages(self, request: dict[str, Any]) -> Iterator[Mapping[str, Any]]:
        while True:
            with aws_call(f"query table {self._name}"):
                answer = self._client.query(**request)
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            request = request | {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    # --- batches ----------------------------------------------------------------------------

    def load(self, wanted: Sequence[Item]) -> list[Mapping[str, Any]]:
        """The items with these keys, those that exist, in any order. Eventually consistent."""
        found: list[Mapping[str, Any]] = []
        for batch in _batches(wanted, READ_BATCH):
            left: Any = batch
            for attempt in range(ATTEMPTS):
                with aws_call(f"read from table {self._name}"):
                    answer = self._client.batch_get_item(RequestItems={self._name: {"Keys": left}})
                found += answer["Responses"].get(self._name, [])
                unread = answer.get("UnprocessedKeys", {}).get(self._name)
                if not unread:
                    break
                left = unread["Keys"]
                self.pause(attempt)
            else:
                raise self._refused(len(left))
        return found

    def delete_all(self, keys: Sequence[Item]) -> None:
        """Delete the items with these keys, in this order as far as batches go."""
        for batch in _batches(keys, WRITE_BATCH):
            left: Sequence[WriteRequestTypeDef] = [{"DeleteRequest": {"Key": key}} for key in batch]
            for attempt in range(ATTEMPTS):
                with aws_call(f"erase in table {self._name}"):
                    answer = self._client.batch_write_item(RequestItems={self._name: left})
                unwritten: Any = answer.get("UnprocessedItems", {}).get(self._name)
                if not unwritten:
                    break
                left = unwritten
                self.pause(attempt)
            else:
                raise self._refused(len(left))

    def _refused(self, count: int) -> Throttled:
        return Throttled(
            f"table {self._name}: {count} items of a batch were refused {ATTEMPTS} times"
        )


# --- conditions -------------------------------------------------------------------------------


def unless_changed(attribute: str, value: int | None) -> dict[str, Any]:
    """Condition: the item is still at this number; None: there is still no item."""
    if value is None:
        held: dict[str, Any] = {
            "ConditionExpression": "attribute_not_exists(#p)",
            "ExpressionAttributeNames": {"#p": PARTITION_KEY},
        }
    else:
        held = {
            "ConditionExpression": "#n = :n",
            "ExpressionAttributeNames": {"#n": attribute},
            "ExpressionAttributeValues": {":n": {"N": str(value)}},
        }
    return held | {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}


def unless_newer(attribute: str, value: str) -> dict[str, Any]:
    """Condition: there is no item, or its attribute is not above this text."""
    return {
        "ConditionExpression": "attribute_not_exists(#p) OR #n <= :n",
        "ExpressionAttributeNames": {"#p": PARTITION_KEY, "#n": attribute},
        "ExpressionAttributeValues": {":n": {"S": value}},
    }


@contextmanager
def _conditions() -> Iterator[None]:
    """Turn a refused condition into ConditionFailed, and leave all else to ``aws_call``."""
    try:
        yield
    except ClientError as error:
        answer: Mapping[str, Any] = error.response
        repeated = answer.get("ResponseMetadata", {}).get("RetryAttempts", 0) > 0
        reasons = {reason.get("Code") for reason in answer.get("CancellationReasons", ())}
        if not _LOST & {error_code(error), *reasons}:
            raise
        raise ConditionFailed(answer.get("Item"), repeated=repeated) from error


def _batches(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
