"""Calls a handler as Lambda's Python runtime does: context, result, errors.

A reply is JSON: {"result": …} or {"error": {"type": …, "message": …}}. A first member "logError" gives the
reason if log lines were lost.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from localcloud.errors import FunctionError
from localcloud.functions.description import log_group
from localcloud.functions.frames import MAX_PAYLOAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from localcloud.functions.description import Description

_LOG_ERROR = b'{"logError":'
# An environment's first frame once its handler is loaded.
READY = b'{"result":null}'


@dataclass(frozen=True, slots=True)
class Context:
    """A handler's second argument (AWS: "Using the Lambda context object", Python)."""

    aws_request_id: str
    function_name: str
    invoked_function_arn: str
    memory_limit_in_mb: int
    log_group_name: str
    log_stream_name: str
    deadline_ms: int
    function_version: str = "$LATEST"
    client_context: None = None
    identity: None = None

    def get_remaining_time_in_millis(self) -> int:
        return max(0, self.deadline_ms - int(time.time() * 1000))


class LoadError(Exception):
    """The handler could not be loaded; `reply` has the error."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.reply = error_reply(error_type, message)


def context_of(description: Description, request_id: str, deadline_ms: int) -> Context:
    return Context(
        aws_request_id=request_id,
        function_name=description.function,
        invoked_function_arn=description.arn,
        memory_limit_in_mb=description.memory_mb,
        log_group_name=log_group(description.function),
        log_stream_name=description.log_stream,
        deadline_ms=deadline_ms,
    )


def load(handler: str) -> Callable[[Any, Context], Any]:
    """Import `package.module.attribute`; LoadError with the error types of Lambda's runtime."""
    module_name, _, attribute = handler.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        _log(error)
        message = f"Unable to import module '{module_name}': {error}"
        raise LoadError("Runtime.ImportModuleError", message) from error
    except SyntaxError as error:
        _log(error)
        message = f"Syntax error in module '{module_name}': {error}"
        raise LoadError("Runtime.UserCodeSyntaxError", message) from error
    except Exception as error:
        _log(error)
        raise LoadError(type(error).__name__, str(error)) from error
    try:
        function: Callable[[Any, Context], Any] = getattr(module, attribute)
    except AttributeError:
        message = f"Handler '{attribute}' missing on module '{module_name}'"
        print(f"[ERROR] Runtime.HandlerNotFound: {message}", file=sys.stderr, flush=True)
        raise LoadError("Runtime.HandlerNotFound", message) from None
    return function


def call(handler: Callable[[Any, Context], Any], event: Any, context: Context) -> bytes:
    """Return the reply to one event. Only SystemExit and the like propagate."""
    try:
        result = handler(event, context)
    except Exception as error:  # noqa: BLE001 - whatever a function raises is its answer
        _log(error)
        return error_reply(type(error).__name__, str(error))
    try:
        # Not orjson: it accepts dates and dataclasses, for which Lambda fails the call.
        payload = json.dumps(result, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        message = f"Unable to marshal response: {error}"
        print(f"[ERROR] Runtime.MarshalError: {message}", file=sys.stderr, flush=True)
        return error_reply("Runtime.MarshalError", message)
    if len(payload) > MAX_PAYLOAD_BYTES:
        message = f"Response payload size exceeded maximum allowed payload size ({MAX_PAYLOAD_BYTES} bytes)."
        return error_reply("Function.ResponseSizeTooLarge", message)
    return b'{"result":' + payload + b"}"


def error_reply(error_type: str, message: str) -> bytes:
    # A message may hold lone surrogates, which UTF-8 can't encode.
    text = message.encode(errors="replace").decode()
    return orjson.dumps({"error": {"type": error_type, "message": text}})


def result_of(function: str, reply: bytes) -> Any:
    """Return the handler's result; FunctionError if it failed."""
    outcome = orjson.loads(reply)
    if "error" in outcome:
        raise FunctionError(function, outcome["error"]["type"], outcome["error"]["message"])
    return outcome["result"]


def with_log_error(reply: bytes, reason: str) -> bytes:
    return _LOG_ERROR + orjson.dumps(reason) + b"," + reply[1:]


def log_error_of(reply: bytes) -> str | None:
    """The reason for lost log lines; None if none were lost."""
    return str(orjson.loads(reply)["logError"]) if reply.startswith(_LOG_ERROR) else None


def encode_event(function: str, event: Any) -> bytes:
    """Encode the event as JSON; FunctionError if it exceeds Lambda's limit."""
    payload = orjson.dumps(event)
    if len(payload) > MAX_PAYLOAD_BYTES:
        message = f"{len(payload)} bytes of event exceed the limit of {MAX_PAYLOAD_BYTES}"
        raise FunctionError(function, "RequestEntityTooLargeException", message)
    return payload


def _log(error: BaseException) -> None:
    # Skip the first frame, this module's own call.
    trace = error.__traceback__ and error.__traceback__.tb_next
    lines = traceback.format_exception(type(error), error, trace)
    print(f"[ERROR] {type(error).__name__}: {error}\n{''.join(lines)}", file=sys.stderr, end="", flush=True)
