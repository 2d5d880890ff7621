"""A limit on requests a second that all processes of a deployment share, in the catalog's table.

Quotas of AWS are of the account, and functions run in many instances that know nothing of each
other. Each second has so many tokens, which one item counts; a request takes one by a conditional
write. That is one or two write units: a thousandth of what a request to Rekognition costs.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from worker.adapters.aws.dynamodb.items import key
from worker.adapters.aws.errors import aws_call, error_code
from worker.domain.errors import Throttled

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

LONGEST_WAIT = 4.0
"""Longest wait for a token. Then the state machine waits, which costs nothing."""
PARTITION = "RATE#"
SORT = "RATE"
_REFUSED = "ConditionalCheckFailedException"


class RequestRate:
    """Tokens for requests. Safe to share between threads.

    Args:
        client: of DynamoDB.
        table: the catalog's.
        per_second: tokens of a second, of each operation.
        clock: Unix time, seconds. Clocks of instances may differ: the one that is ahead counts.
        sleep: waits so many seconds.
        spread: a number from 0 to 1, evenly distributed.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        *,
        per_second: int,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._client, self._table, self._per_second = client, table, per_second
        self._clock, self._sleep, self._spread = clock, sleep, spread

    def take(self, operation: str) -> None:
        """Take a token, waiting for one if that does not take long.

        Args:
            operation: of AWS: each has a quota of its own.

        Raises:
            Throttled: there was none within ``LONGEST_WAIT``, or the table is throttled.
        """
        deadline = self._clock() + LONGEST_WAIT
        while True:
            now = self._clock()
            if self._taken(operation, int(now)):
                return
            # The next second begins for all that wait at once: not all ask at its first moment.
            pause = 1 - now % 1 + self._spread() / 2
            if now + pause > deadline:
                said = f"{operation}: more than {self._per_second} requests a second are wanted"
                raise Throttled(said)
            self._sleep(pause)

    def _taken(self, operation: str, second: int) -> bool:
        one, limit = {"N": "1"}, {"N": str(self._per_second)}
        now = {"N": str(second)}
        return self._update(
            operation,
            "ADD #u :one",
            "#s >= :now AND #u < :limit",
            {":one": one, ":limit": limit, ":now": now},
        ) or self._update(
            operation,
            "SET #s = :now, #u = :one",
            "attribute_not_exists(#s) OR #s < :now",
            {":one": one, ":now": now},
        )

    def _update(
        self, operation: str, change: str, condition: str, values: Mapping[str, Any]
    ) -> bool:
        from botocore.exceptions import ClientError

        with aws_call("count requests"):
            try:
                self._client.update_item(
                    TableName=self._table,
                    Key=key(f"{PARTITION}{operation}", SORT),
                    UpdateExpression=change,
                    ConditionExpression=condition,
                    ExpressionAttributeNames={"#s": "second", "#u": "used"},
                    ExpressionAttributeValues=values,
                )
            except ClientError as error:
                if error_code(error) != _REFUSED:
                    raise
                return False
        return True
