"""What an environment is told of its function: plain values, decided in the parent."""

from __future__ import annotations

import datetime as dt
import os
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localcloud.service.model import ACCOUNT_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from localcloud.service.model import Function

# All that a function sees of the environment localcloud was started in; the rest stays with the user.
INHERITED = ("PATH", "HOME", "LANG", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Description:
    """One environment to be. `environ` is the whole of its os.environ."""

    function: str
    handler: str
    memory_mb: int
    region: str
    log_stream: str
    environ: Mapping[str, str]

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:{ACCOUNT_ID}:function:{self.function}"


def describe(function: Function, *, region: str, extra_env: Mapping[str, str]) -> Description:
    """A new environment of `function`: its log stream is its own, as in CloudWatch."""
    today = dt.datetime.now(dt.UTC).strftime("%Y/%m/%d")
    log_stream = f"{today}/[$LATEST]{uuid.uuid4().hex}"
    # AWS Lambda Developer Guide: "Defined runtime environment variables".
    own = {
        "_HANDLER": function.handler,
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": log_group(function.name),
        "AWS_LAMBDA_LOG_STREAM_NAME": log_stream,
    }
    return Description(
        function=function.name,
        handler=function.handler,
        memory_mb=function.memory_mb,
        region=region,
        log_stream=log_stream,
        # Local endpoints and credentials come last: whatever the function's own settings say, it stays here.
        environ={**shared_environ(region), **function.environment, **own, **extra_env},
    )


def log_group(function: str) -> str:
    return f"/aws/lambda/{function}"


def shared_environ(region: str) -> dict[str, str]:
    """What Lambda sets alike for every function of a region, and what the machine must give."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return inherited | {
        "AWS_DEFAULT_REGION": region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
        "AWS_REGION": region,
        "LAMBDA_TASK_ROOT": str(Path.cwd()),
        "TZ": ":UTC",
    }
