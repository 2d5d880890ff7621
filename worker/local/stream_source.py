"""Lambda's DynamoDB event source, as a thread: it reads the stream, filters, invokes and stores its
position.

Like Lambda: a change is handed over until the function has done it, in order, and what a partial
response names comes again with all that follow it. Where it is, is in a file that is written after
each batch: what a killed process had not finished comes again. Unlike Lambda, which gives a change
up after the time that the mapping says, it tries for as long as the stream shows it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any

from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call
from worker.adapters.disk_errors import disk_call
from worker.atomic import atomic_write
from worker.domain.errors import SafelightError, TransientError
from worker.job_context import Stop
from worker.local.child import log, repeat

POLL_SECONDS = 0.1
"""Between two looks at a stream without news. Lambda looks four times a second at each shard (AWS
Lambda Developer Guide, "Polling and batching streams")."""
READ = 1_000
"""Changes of one read."""
Handler = Callable[[dict[str, Any]], Mapping[str, Any]]


class StreamClients(AwsClients):
    """Clients with DynamoDB's streams, which no image reads itself."""

    @property
    def streams(self) -> Any:
        """DynamoDB Streams."""
        return self._client("dynamodbstreams")


@dataclass(slots=True, kw_only=True)
class StreamSource:
    """The event source of one function.

    Args:
        stream: ARN of the stream.
        place: file that says how far it is.
        filters: patterns of changes; one of them must match.
        batch_size: changes of one invocation.
    """

    clients: StreamClients
    stream: str
    handler: Handler
    place: Path
    filters: Sequence[Mapping[str, Any]]
    batch_size: int
    _iterator: str | None = field(default=None, init=False)
    _shard: str = field(default="", init=False)

    def run(self, stop: Stop) -> None:
        """Work until asked to stop; a batch that was begun is finished."""

        def once() -> None:
            if not self.once():
                stop.wait(POLL_SECONDS)

        repeat(once, stop)

    def once(self) -> int:
        """Hand over the changes of one read; returns their number.

        Raises:
            SafelightError: the stream does not answer, or the function has not handled all changes.
        """
        try:
            iterator = self._iterator or self._begin()
            self._iterator = None  # after whatever goes wrong it is made anew, from the file
            with aws_call("read the stream of the catalog"):
                answer = self.clients.streams.get_records(ShardIterator=iterator, Limit=READ)
        except SafelightError as error:
            if isinstance(error, TransientError):
                raise
            # The iterator is too old, or of a stream that is no more.
            raise TransientError(f"the stream is read anew: {error.message}") from error
        records = [_record(one) for one in answer["Records"]]
        for start in range(0, len(records), self.batch_size):
            self._invoke(records[start : start + self.batch_size])
        self._iterator = answer.get("NextShardIterator")
        return len(records)

    def _invoke(self, records: Sequence[dict[str, Any]]) -> None:
        wanted = [one for one in records if any(matches(one, each) for each in self.filters)]
        if wanted:
            # The shard is named as with a tumbling window; there is one here.
            response = self.handler({"Records": wanted, "shardId": self._shard})
            failed = {one["itemIdentifier"] for one in response["batchItemFailures"]}
            if failed:
                numbers = [one["dynamodb"]["SequenceNumber"] for one in records]
                done = next((at for at, one in enumerate(numbers) if one in failed), 0)
                if done:
                    self._remember(numbers[done - 1])
                raise TransientError("the function has not done all changes of a batch")
        self._remember(records[-1]["dynamodb"]["SequenceNumber"])

    # --- where it is ------------------------------------------------------------------------

    def _begin(self) -> str:
        """Return an iterator after the last handled change; at the oldest change if that position
        is not known."""
        with aws_call("find the stream of the catalog"):
            described = self.clients.streams.describe_stream(StreamArn=self.stream)
            self._shard = described["StreamDescription"]["Shards"][0]["ShardId"]
        named = {"StreamArn": self.stream, "ShardId": self._shard}
        after = self._read()
        if after is not None:
            try:
                with aws_call("go on in the stream of the catalog"):
                    found = self.clients.streams.get_shard_iterator(
                        **named, ShardIteratorType="AFTER_SEQUENCE_NUMBER", SequenceNumber=after
                    )
                    return str(found["ShardIterator"])
            except TransientError:
                raise
            except SafelightError:
                log("changes behind the last one that was told are no longer in the stream")
        with aws_call("begin the stream of the catalog"):
            found = self.clients.streams.get_shard_iterator(
                **named, ShardIteratorType="TRIM_HORIZON"
            )
            return str(found["ShardIterator"])

    def _read(self) -> str | None:
        """The sequence number of the last change that is done; None if it is of another stream."""
        try:
            value = json.loads(self.place.read_text("utf-8"))
            return str(value["number"]) if value["stream"] == self.stream else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _remember(self, number: str) -> None:
        with disk_call(self.place):
            atomic_write(self.place, json.dumps({"stream": self.stream, "number": number}))


def _record(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as Lambda hands it over: plain JSON, bytes as base64, seconds since 1970."""
    change = dict(record["dynamodb"])
    created = change["ApproximateCreationDateTime"]
    change["ApproximateCreationDateTime"] = created.astimezone(UTC).timestamp()
    for image in ("Keys", "NewImage", "OldImage"):
        if image in change:
            change[image] = _json(change[image])
    told = {**record, "dynamodb": change}
    if user := record.get("userIdentity"):
        told["userIdentity"] = {"type": user["Type"], "principalId": user["PrincipalId"]}
    return told


def _json(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {name: _json(one) for name, one in value.items()}
    if isinstance(value, list | set | frozenset):
        return [_json(one) for one in value]
    return value


# --- filters ------------------------------------------------------------------------------------


def matches(value: Any, pattern: Mapping[str, Any]) -> bool:
    """Whether a value matches an event pattern.

    Of the language of patterns it knows what the filters use: values, ``prefix``, ``anything-but``
    and ``exists`` (AWS Lambda Developer Guide, "Control which events Lambda sends to your
    function").

    Raises:
        ValueError: the pattern uses more.
    """
    here = value if isinstance(value, Mapping) else {}
    for name, wanted in pattern.items():
        if isinstance(wanted, Mapping):
            if not matches(here.get(name), wanted):
                return False
        elif not any(_allows(here, name, each) for each in wanted):
            return False
    return True


def _allows(here: Mapping[str, Any], name: str, rule: Any) -> bool:
    if not isinstance(rule, Mapping):
        return name in here and here[name] == rule
    ((kind, wanted),) = rule.items()
    if kind == "exists":
        return (name in here) is wanted
    if kind == "prefix":
        return isinstance(here.get(name), str) and here[name].startswith(wanted)
    if kind == "anything-but":
        return name in here and here[name] not in wanted
    raise ValueError(f"a pattern with {kind}")
