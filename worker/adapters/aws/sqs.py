"""Queue on SQS, standard and FIFO. Queues are named by URL, or by name and then looked up once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from worker.adapters.aws.batching import batches
from worker.adapters.aws.clients import AwsClients
from worker.adapters.aws.errors import aws_call, error_code, for_code
from worker.adapters.timestamps import utc_text
from worker.domain.errors import Conflict, EngineError, SafelightError, Throttled
from worker.ports import Message

if TYPE_CHECKING:
    from types_boto3_sqs.literals import QueueAttributeNameType
    from types_boto3_sqs.type_defs import MessageTypeDef

BATCH = 10
"""Entries in one request (Amazon SQS Developer Guide, "Message quotas")."""
BATCH_BYTES = 1024 * 1024
"""Of all bodies in one request, and so also of one body (the same)."""
WAIT_SECONDS = 20
"""Longest poll."""
HIDE_SECONDS = 12 * 3600
"""Longest time a message stays hidden, counted from its receipt."""

_OWN_FIELDS = frozenset({"ApproximateReceiveCount", "SentTimestamp", "MessageGroupId"})


class SqsQueue:
    """Queues in SQS."""

    def __init__(self, clients: AwsClients) -> None:
        self._clients = clients
        self._urls: dict[str, str] = {}

    def send(
        self,
        queue: str,
        bodies: Sequence[tuple[str, str, str]],
        *,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """See ``Queue.send``. After an error any of the messages may have been sent.

        Raises:
            Throttled: SQS took some of them only; send all again, with the same ids.
            EngineError: a body is larger than ``BATCH_BYTES`` or is refused.
        """
        url = self._url(queue)
        fifo = url.endswith(".fifo")
        told = {
            name: {"DataType": "String", "StringValue": text}
            for name, text in (attributes or {}).items()
        }
        for batch in batches(bodies, _body_bytes, count=BATCH, size=BATCH_BYTES):
            entries: list[Any] = []
            for number, (body, group, deduplication) in enumerate(batch):
                entry: dict[str, Any] = {"Id": str(number), "MessageBody": body}
                if told:
                    entry["MessageAttributes"] = told
                if fifo:
                    entry |= {"MessageGroupId": group, "MessageDeduplicationId": deduplication}
                entries.append(entry)
            with aws_call(f"send to {queue}"):
                answer = self._clients.sqs.send_message_batch(QueueUrl=url, Entries=entries)
            _require_all(answer.get("Failed", ()), f"send to {queue}", len(batch), EngineError)

    def receive(
        self, queue: str, *, limit: int = 10, wait: int = 0, visibility: int = 30
    ) -> Sequence[Message]:
        """See ``Queue.receive``. ``wait`` is at most 20 seconds."""
        url = self._url(queue)
        with aws_call(f"receive from {queue}"):
            answer = self._clients.sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=max(1, min(limit, BATCH)),
                WaitTimeSeconds=max(0, min(wait, WAIT_SECONDS)),
                VisibilityTimeout=visibility,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
        return tuple(_message(each) for each in answer.get("Messages", ()))

    def delete(self, queue: str, messages: Sequence[Message]) -> None:
        """See ``Queue.delete``.

        Raises:
            Conflict: a message was hidden no longer, and will be seen again.
        """
        url = self._url(queue)
        for start in range(0, len(messages), BATCH):
            batch = messages[start : start + BATCH]
            with aws_call(f"delete in {queue}"):
                answer = self._clients.sqs.delete_message_batch(
                    QueueUrl=url,
                    Entries=[
                        {"Id": str(number), "ReceiptHandle": message.receipt}
                        for number, message in enumerate(batch)
                    ],
                )
            _require_all(answer.get("Failed", ()), f"delete in {queue}", len(batch), Conflict)

    def hide(self, queue: str, message: Message, seconds: int) -> None:
        """See ``Queue.hide``.

        Raises:
            Conflict: the message was hidden no longer.
        """
        url = self._url(queue)
        with aws_call(f"hide in {queue}"):
            try:
                self._clients.sqs.change_message_visibility(
                    QueueUrl=url,
                    ReceiptHandle=message.receipt,
                    VisibilityTimeout=max(0, min(seconds, HIDE_SECONDS)),
                )
            except ClientError as error:
                # The seconds are in range, so what SQS finds invalid is the receipt.
                if error_code(error) == "InvalidParameterValue":
                    text = f"hide in {queue}: the message is hidden no longer"
                    raise Conflict(text) from error
                raise

    def depth(self, queue: str, *, taken: bool = False) -> int:
        """See ``Queue.depth``. Counts what can be received now and what is delayed."""
        names: list[QueueAttributeNameType] = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesDelayed",
        ]
        if taken:
            names.append("ApproximateNumberOfMessagesNotVisible")
        url = self._url(queue)
        with aws_call(f"count {queue}"):
            answer = self._clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)
        return sum(int(value) for value in answer.get("Attributes", {}).values())

    def _url(self, queue: str) -> str:
        if queue.startswith(("http://", "https://")):
            return queue
        if queue not in self._urls:
            with aws_call(f"find the queue {queue}"):
                self._urls[queue] = self._clients.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        return self._urls[queue]


def _body_bytes(triple: tuple[str, str, str]) -> int:
    return len(triple[0].encode())


def _require_all(
    failed: Sequence[Mapping[str, Any]], what: str, of: int, ours: type[SafelightError]
) -> None:
    """Raise if entries of a batch failed: ``ours`` if the request was to blame for one."""
    if not failed:
        return
    worst = next((entry for entry in failed if entry.get("SenderFault")), failed[0])
    code = str(worst.get("Code", ""))
    text = f"{what}: {len(failed)} of {of} failed: {worst.get('Message') or 'no message'} ({code})"
    mapped = for_code(code, text)
    if type(mapped) is not EngineError:
        raise mapped
    raise ours(text) if worst.get("SenderFault") else Throttled(text)


def _message(raw: MessageTypeDef) -> Message:
    system: Mapping[str, str] = {
        str(name): text for name, text in raw.get("Attributes", {}).items()
    }
    attributes = {name: text for name, text in system.items() if name not in _OWN_FIELDS}
    for name, value in raw.get("MessageAttributes", {}).items():
        attributes[name] = value.get("StringValue", "")
    return Message(
        id=raw["MessageId"],
        body=raw["Body"],
        receipt=raw["ReceiptHandle"],
        receives=int(system.get("ApproximateReceiveCount", "1")),
        sent_at=_time(system.get("SentTimestamp")),
        group=system.get("MessageGroupId"),
        attributes=attributes,
    )


def _time(milliseconds: str | None) -> str:
    if not milliseconds:
        return ""
    return utc_text(datetime.fromtimestamp(int(milliseconds) / 1000, UTC))
