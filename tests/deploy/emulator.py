"""ministack as the tests' AWS: on 127.0.0.1, with IAM enforced."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from localcloud.children import ChildServer
from localcloud.errors import StartError
from localcloud.service.model import REGION

ROOT = Path(__file__).parents[2]
VENV = ROOT / "build" / "ministack"
# A Python without packages, so that functions have only the artifact's.
BARE_PYTHON = ROOT / "build" / "bare" / "bin" / "python"
LAUNCHER = Path(__file__).with_name("launcher.py")
# These credentials belong to the account's root user.
ROOT_KEYS = {"AWS_ACCESS_KEY_ID": "rehearsal", "AWS_SECRET_ACCESS_KEY": "rehearsal"}


@dataclass(frozen=True, slots=True)
class Decision:
    """IAM's decision on a role's action and resource."""

    role: str
    action: str
    resource: str
    allowed: bool


class Emulator(ChildServer):
    """A running ministack, with its files in `folder`."""

    what = "ministack"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._decisions = folder / "decisions.jsonl"
        self._decisions.touch()

    def command(self) -> list[str]:
        for python in (VENV / "bin" / "python", BARE_PYTHON):
            if not python.exists():
                raise StartError(f"{python.relative_to(ROOT)} is missing: run make build/ministack/.ready")
        environment = {
            **ROOT_KEYS,
            "AUTH": "true",
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            # An account's quota; ministack's own depends on this machine's memory.
            "LAMBDA_ACCOUNT_CONCURRENCY": "1000",
            "LAMBDA_PYTHON": str(BARE_PYTHON),
            "DECISIONS": str(self._decisions),
            "HOME": str(self._folder),
            "TMPDIR": str(self._folder),
        }
        # Functions inherit ministack's environment, so pass nothing else.
        named = [f"{name}={value}" for name, value in environment.items()]
        return ["/usr/bin/env", "-i", *named, str(VENV / "bin" / "python"), str(LAUNCHER)]

    def client(self, service: str, config: Config | None = None) -> Any:
        """A boto3 client of the account's root user."""
        return boto3.client(
            service,
            config=config,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ROOT_KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ROOT_KEYS["AWS_SECRET_ACCESS_KEY"],
        )

    def decisions(self, since: int = 0) -> list[Decision]:
        """The decisions in order, without the first `since`."""
        lines = self._decisions.read_text().splitlines()
        return [Decision(**json.loads(line)) for line in lines[since:]]
