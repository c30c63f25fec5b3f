"""A command's output, and an AWS account for it."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.conftest import ROOT

OTHER_REGION = "eu-central-1"
TIMEOUT_S = 20


@dataclass(frozen=True)
class Said:
    """A command's output and exit code."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The error line of a failed command."""
        assert (self.code, self.out) == (1, "")
        assert self.err.startswith("groupcast: ")
        assert self.err.count("\n") == 1, self.err
        assert self.err.endswith("\n")
        return self.err


@dataclass(frozen=True)
class Account:
    """An account on moto's server with a deployed stage."""

    cloudformation: Any
    cognito: Any
    sqs: Any
    environment: dict[str, str]

    def deploy(self, stage: str, outputs: dict[str, str]) -> None:
        """Create a stack with these outputs; moto's CloudFormation creates no user pools."""
        template = {
            "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
            "Outputs": {name: {"Value": value} for name, value in outputs.items()},
        }
        self.cloudformation.create_stack(StackName=f"groupcast-{stage}", TemplateBody=json.dumps(template))


def run_command(line: list[str], environment: dict[str, str]) -> Said:
    """Run a command in a process without a terminal."""
    done = subprocess.run(
        line,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    return Said(done.returncode, done.stdout, done.stderr)


@contextmanager
def refusing_aws(code: str, message: str) -> Iterator[str]:
    """The URL of an AWS that answers every request with an error: moto accepts all credentials."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _refusing(code, message)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _refusing(code: str, message: str) -> type[BaseHTTPRequestHandler]:
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    return Refusing
