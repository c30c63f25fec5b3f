"""An environment's description of its function: plain values, which the parent decides."""

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

# The only variables that functions inherit from the user's environment.
INHERITED = ("PATH", "HOME", "LANG", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Description:
    """The description of a new environment. `environ` is its complete os.environ."""

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
    """Describe a new environment of `function`, with a log stream of its own, as in CloudWatch."""
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
        # Last, so that the function's own settings cannot replace local endpoints and credentials.
        environ={**shared_environ(region), **function.environment, **own, **extra_env},
    )


def log_group(function: str) -> str:
    return f"/aws/lambda/{function}"


def shared_environ(region: str) -> dict[str, str]:
    """Variables that Lambda sets for all functions of a region, and those inherited from this machine."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return inherited | {
        "AWS_DEFAULT_REGION": region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
        "AWS_REGION": region,
        "LAMBDA_TASK_ROOT": str(Path.cwd()),
        "TZ": ":UTC",
    }
