"""SQS's FIFO queues in moto's server. Standard queues stay moto's own.

moto 5 differs from the SQS Developer Guide ("FIFO queue delivery logic", "FIFO queue key terms") and the SQS
API Reference in these points:

- Deduplication: moto compares only messages still in the queue and ignores DeduplicationScope. SQS "continues
  tracking the deduplication ID even after the message has been received and deleted", for 5 minutes.
- Message groups: moto lists the locked groups once, when a poll begins. A group released during the poll
  stays blocked until it ends, and two waiting polls may take the same group. SQS gives no more messages of a
  group until the received ones are deleted or visible again.
- Waiting: moto's poll spins while a locked group has visible messages, and a delete does not wake it.
- Receipt handles: SQS refuses one whose message is visible again (InvalidParameterValue); moto accepts it.
- SequenceNumber: random in moto; in SQS it grows within a group.
- Cost: moto searches its lists from the start on every call.
- Abandoned polls: in moto, a poll whose client has hung up still takes messages, which are lost to others.

Not modelled: SQS's search limit of 120,000 messages, and ReceiveRequestAttemptId.
"""

from __future__ import annotations

import copy
import functools
import re
import select
import socket
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flask import has_request_context, request
from moto.sqs import models, responses, urls
from moto.sqs.exceptions import InvalidParameterValue, ReceiptHandleIsInvalid

from localcloud.backends.motoserver.lanes import HandleExpiredError, Lanes

if TYPE_CHECKING:
    from collections.abc import Iterator

# Tests set it.
clock = time.monotonic
# MessageGroupId and MessageDeduplicationId: letters, digits and punctuation.
_ID = re.compile(r"[!-~]{1,128}")


class ReceiptHandleExpired(ReceiptHandleIsInvalid):
    """In a batch it fails only its own entry, as moto's base class does."""

    def __init__(self, handle: str) -> None:
        super().__init__()
        self.code = "InvalidParameterValue"
        self.message = (
            f"Value {handle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."
        )


class Queue(models.Queue):
    """One of moto's queues; only FIFO queues have `lanes`. Thread-safe."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lanes = Lanes() if self.fifo_queue else None
        # A receipt handle consists of this, the sequence number and the receive count, so none need be
        # stored.
        self._handles = uuid.uuid4().hex

    @property
    def approximate_number_of_messages(self) -> int:
        return self._count(0, "approximate_number_of_messages")

    @property
    def approximate_number_of_messages_not_visible(self) -> int:
        return self._count(1, "approximate_number_of_messages_not_visible")

    @property
    def approximate_number_of_messages_delayed(self) -> int:
        return self._count(2, "approximate_number_of_messages_delayed")

    def add_message(self, message: Any) -> None:
        """Accept a message; a duplicate gets the first one's id and sequence number."""
        if self.lanes is None:
            super().add_message(message)
        else:
            scope = message.group_id if self.deduplication_scope == "messageGroup" else None
            self._add(self.lanes, message, key=(scope, message.deduplication_id))

    def receive(self, lanes: Lanes, count: int, wait_s: float, visibility_s: float) -> list[Any]:
        """Copies of up to `count` messages; empty if none arrives within `wait_s` or the client has gone."""
        policy = self.redrive_policy if self.dead_letter_queue is not None else None
        max_receives = policy["maxReceiveCount"] if policy else None
        end_s = clock() + wait_s
        with self._messages_lock:
            while True:
                if not _client_is_there():
                    return []
                now_s = clock()
                taken, dead = lanes.receive(count, visibility_s, now_s, max_receives=max_receives)
                for entry in dead:
                    self.dead_letter_queue.take_over(entry.message)
                if taken or now_s >= end_s:
                    return [self._received(entry) for entry in taken]
                wake_s = lanes.next_wake_s()
                self._messages_lock.wait((end_s if wake_s is None else min(end_s, wake_s)) - now_s)

    def take_over(self, message: Any) -> None:
        """Accept a dead letter of another queue, ignoring its deduplication id.

        Its sent time starts anew, as the guide's "Using dead-letter queues" says of FIFO queues.
        """
        if self.lanes is None:
            super().add_message(message)
        else:
            message.mark_sent()
            self._add(self.lanes, message, key=None)

    def delete_message(self, receipt_handle: str) -> None:
        with self._messages_lock:
            if self.lanes is None:
                # moto builds a new list and loses messages added to the old one meanwhile.
                super().delete_message(receipt_handle)
                return
            with _expiry(receipt_handle):
                self.lanes.delete(*self._parsed(receipt_handle), clock())
            self._messages_lock.notify_all()

    def change_visibility(self, lanes: Lanes, receipt_handle: str, visibility_s: float) -> None:
        """See Lanes.hide."""
        with self._messages_lock:
            with _expiry(receipt_handle):
                lanes.hide(*self._parsed(receipt_handle), visibility_s, clock())
            self._messages_lock.notify_all()

    def purge(self, lanes: Lanes) -> None:
        """Drop all messages."""
        with self._messages_lock:
            lanes.clear()

    def _add(self, lanes: Lanes, message: Any, *, key: tuple[str | None, str] | None) -> None:
        with self._messages_lock:
            message.id, sequence = lanes.add(
                message.group_id,
                message.id,
                message,
                clock(),
                retention_s=self.message_retention_period,
                key=key,
                delay_s=self.delay_seconds,
            )
            message.sequence_number = f"{sequence:020d}"
            self._messages_lock.notify_all()

    def _received(self, entry: Any) -> Any:
        message = entry.message
        if not message.approximate_first_receive_timestamp:
            message.approximate_first_receive_timestamp = int(time.time() * 1000)
        message.approximate_receive_count = entry.receives
        message.receipt_handle = f"{self._handles}.{entry.sequence}.{entry.receives}"
        return copy.copy(message)

    def _parsed(self, receipt_handle: str) -> tuple[int, int]:
        match receipt_handle.split("."):
            case [self._handles, sequence, receives] if sequence.isdecimal() and receives.isdecimal():
                return int(sequence), int(receives)
        raise ReceiptHandleIsInvalid

    def _count(self, index: int, name: str) -> int:
        if self.lanes is None:
            count: int = getattr(super(), name)
            return count
        with self._messages_lock:
            return self.lanes.counts(clock())[index]


class Backend(models.SQSBackend):
    """moto's backend, with the calls that differ for FIFO queues overridden."""

    # moto would look for this file beside this module.
    _url_module = urls

    def receive_message(
        self,
        queue_name: str,
        count: int,
        wait_seconds_timeout: int,
        visibility_timeout: int,
        message_attribute_names: list[str] | None = None,
    ) -> list[Any]:
        queue = self.get_queue(queue_name)
        names = message_attribute_names or []
        if queue.lanes is None:
            messages: list[Any] = super().receive_message(
                queue_name, count, wait_seconds_timeout, visibility_timeout, names
            )
            return messages
        messages = queue.receive(queue.lanes, count, wait_seconds_timeout, visibility_timeout)
        for message in messages:
            models._filter_message_attributes(message, names)  # noqa: SLF001 - moto's own
        return messages

    def change_message_visibility(
        self, queue_name: str, receipt_handle: str, visibility_timeout: int
    ) -> None:
        queue = self.get_queue(queue_name)
        if queue.lanes is None:
            super().change_message_visibility(queue_name, receipt_handle, visibility_timeout)
        else:
            queue.change_visibility(queue.lanes, receipt_handle, int(visibility_timeout))

    def purge_queue(self, queue_name: str) -> None:
        super().purge_queue(queue_name)
        queue = self.get_queue(queue_name)
        if queue.lanes is not None:
            queue.purge(queue.lanes)

    def _validate_message(
        self,
        queue: Any,
        message_body: str,
        delay_seconds: int,
        deduplication_id: str | None = None,
        group_id: str | None = None,
        validate_group_id: bool = True,
    ) -> None:
        super()._validate_message(
            queue, message_body, delay_seconds, deduplication_id, group_id, validate_group_id
        )
        if deduplication_id is not None and queue.lanes is None:
            raise InvalidParameterValue("MessageDeduplicationId is for FIFO queues alone.")
        for name, value in (("MessageGroupId", group_id), ("MessageDeduplicationId", deduplication_id)):
            if value is not None and not _ID.fullmatch(value):
                raise InvalidParameterValue(
                    f"Value {value} for parameter {name} is invalid. Reason: {name} can only include"
                    " alphanumeric and punctuation characters. 1 to 128 in length."
                )


def install() -> None:
    """Replace moto's classes by those above. Call this before the first queue is created."""
    models.Queue = Queue
    # moto reads all attributes of the queue several times per call.
    models.camelcase_to_underscores = functools.cache(models.camelcase_to_underscores)
    models.sqs_backends.backend = Backend
    assert responses.sqs_backends is models.sqs_backends


@contextmanager
def _expiry(receipt_handle: str) -> Iterator[None]:
    """Turn HandleExpiredError into the API's error."""
    try:
        yield
    except HandleExpiredError:
        raise ReceiptHandleExpired(receipt_handle) from None


def _client_is_there() -> bool:
    """Whether this request's client is still connected; True if unknown."""
    sock = request.environ.get("werkzeug.socket") if has_request_context() else None
    if sock is None or not select.select([sock], [], [], 0)[0]:
        return True
    return bool(sock.recv(1, socket.MSG_PEEK))
