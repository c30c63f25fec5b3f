"""A handler's surroundings in an environment, and its failures seen by the caller."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from localcloud.errors import FunctionError
from localcloud.functions.frames import MAX_PAYLOAD_BYTES
from localcloud.service.model import Function
from tests.unit.localcloud.functions.support import environments, functions

if TYPE_CHECKING:
    from pathlib import Path

    from localcloud.functions import Environments


async def failure_of(pool: Environments, function: str, event: dict[str, Any]) -> FunctionError:
    with pytest.raises(FunctionError) as failure:
        await pool.invoke(function, event)
    return failure.value


async def test_context_is_lambdas(pool: Environments) -> None:
    """It has the attributes of LambdaContext, and its remaining time counts down from the timeout."""
    told = await pool.invoke("about", {})
    context = told["context"]
    assert re.fullmatch(r"[0-9a-f-]{36}", context.pop("aws_request_id"))
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", context.pop("log_stream_name"))
    assert context == {
        "function_name": "about",
        "function_version": "$LATEST",
        "invoked_function_arn": "arn:aws:lambda:eu-central-1:123456789012:function:about",
        "memory_limit_in_mb": 256,
        "log_group_name": "/aws/lambda/about",
        "client_context": None,
        "identity": None,
    }
    assert 0 < told["remaining_ms"] <= 15_000


async def test_each_invocation_has_its_own_request_id(pool: Environments) -> None:
    """Two events in one environment have two request ids and one log stream."""
    told = [(await pool.invoke("about", {}))["context"] for _ in range(2)]
    assert told[0]["aws_request_id"] != told[1]["aws_request_id"]
    assert told[0]["log_stream_name"] == told[1]["log_stream_name"]


async def test_environ_is_the_functions_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only PATH and the like come from the caller's environment; extra_env overrides; the zone is UTC."""
    monkeypatch.setenv("SOME_SECRET", "of the user")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("TZ", "America/New_York")
    which = functions(environment={"TABLE": "messages", "ENDPOINT": "https://cloud.example"})
    async with environments(which, extra_env={"ENDPOINT": "http://127.0.0.1:1"}) as pool:
        told = await pool.invoke("about", {})
    environ, context = told["environ"], told["context"]
    assert not {"SOME_SECRET", "PYTHONDONTWRITEBYTECODE"} & set(environ)
    assert (environ["TABLE"], environ["ENDPOINT"]) == ("messages", "http://127.0.0.1:1")
    lambdas = {name: value for name, value in environ.items() if name.startswith(("AWS_LAMBDA", "_HANDLER"))}
    assert lambdas == {
        "_HANDLER": "sample.about",
        "AWS_LAMBDA_FUNCTION_NAME": "about",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/about",
        "AWS_LAMBDA_LOG_STREAM_NAME": context["log_stream_name"],
    }
    assert (environ["AWS_REGION"], environ["AWS_DEFAULT_REGION"]) == ("eu-central-1", "eu-central-1")
    assert told["zone"] == "UTC"


async def test_an_exception_is_the_answer_and_the_environment_stays(pool: Environments) -> None:
    """The caller gets class and text of the exception; the same process serves the next event."""
    pid = await pool.invoke("pid_or_fail", {})
    failure = await failure_of(pool, "pid_or_fail", {"fail": True})
    assert (failure.error_type, failure.message) == ("ValueError", "asked to")
    assert await pool.invoke("pid_or_fail", {}) == pid


async def test_an_exception_whose_text_is_not_utf8(pool: Environments) -> None:
    """A lone surrogate breaks neither the reply nor the environment."""
    failure = await failure_of(pool, "fail", {"kind": "surrogate"})
    assert (failure.error_type, failure.message) == ("ValueError", "?")
    assert pool.snapshot()["fail"].idle


@pytest.mark.parametrize("function", ["unjson", "not_a_number"])
async def test_a_result_that_is_not_json(pool: Environments, function: str) -> None:
    """It is Runtime.MarshalError, and the environment stays."""
    failure = await failure_of(pool, function, {})
    assert failure.error_type == "Runtime.MarshalError"
    assert failure.message.startswith("Unable to marshal response: ")
    assert pool.snapshot()[function].idle


async def test_sizes_are_limited_as_on_lambda(pool: Environments) -> None:
    """A result or an event over 6 MB fails with Lambda's error type."""
    answer = await failure_of(pool, "big", {"size": MAX_PAYLOAD_BYTES})
    question = await failure_of(pool, "echo", {"text": "x" * MAX_PAYLOAD_BYTES})
    assert answer.error_type == "Function.ResponseSizeTooLarge"
    assert question.error_type == "RequestEntityTooLargeException"


@pytest.mark.parametrize(
    ("handler", "error_type", "text"),
    [
        ("nowhere.handler", "Runtime.ImportModuleError", "Unable to import module 'nowhere'"),
        ("needs_missing.handler", "Runtime.ImportModuleError", "No module named 'not_installed'"),
        ("misspelt.handler", "Runtime.UserCodeSyntaxError", "Syntax error in module 'misspelt'"),
        ("raises.handler", "KeyError", "SETTING"),
        ("empty.handler", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'empty'"),
    ],
)
async def test_a_function_that_does_not_load(
    tmp_path: Path, handler: str, error_type: str, text: str
) -> None:
    """Each way of lacking a handler has Lambda's error type, for invoke and for warm."""
    (tmp_path / "needs_missing.py").write_text("import not_installed\n")
    (tmp_path / "misspelt.py").write_text("def handler(:\n")
    (tmp_path / "raises.py").write_text("import os\nos.environ['SETTING']\n")
    (tmp_path / "empty.py").write_text("")
    which = {"it": Function(name="it", handler=handler, timeout_s=5, memory_mb=128)}
    async with environments(which, extra_env={"PYTHONPATH": str(tmp_path)}) as pool:
        failure = await failure_of(pool, "it", {})
        assert failure.error_type == error_type
        assert text in failure.message
        with pytest.raises(FunctionError, match=error_type):
            await pool.warm(["it"])
        assert not pool.snapshot()["it"].idle


async def test_a_failed_start_fails_every_waiting_call() -> None:
    """With one environment at a time, calls behind the failed start do not hang."""
    which = {"it": Function(name="it", handler="nowhere.handler", timeout_s=5, memory_mb=128)}
    async with environments(which, limit_per_function=1) as pool:
        for _ in range(3):
            failure = await failure_of(pool, "it", {})
            assert failure.error_type == "Runtime.ImportModuleError"
