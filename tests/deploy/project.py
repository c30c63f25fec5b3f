"""A copy of the project, and osls to deploy it, so that the checkout's own build stays untouched."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from localcloud.service.model import REGION
from tests.deploy.emulator import ROOT, ROOT_KEYS, Emulator

SERVICE = "groupcast"
BIN = Path(sys.executable).parent
OSLS_TIMEOUT_S = 120
RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
ARCHITECTURE = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")
# Installed or generated files, and files that a deployment does not need.
LINKED = (".venv", "node_modules")
LEFT_OUT = (*LINKED, "build", "docs", "loadtest", "tests", ".*", "__pycache__")


@dataclass(frozen=True)
class Stage:
    """A deployed stage, with the names that clients and tests need."""

    name: str
    emulator: Emulator
    api_id: str
    outputs: dict[str, str] = field(repr=False)

    @property
    def _api(self) -> str:
        return f"{urlsplit(self.emulator.endpoint).netloc}/_aws/execute-api/{self.api_id}/{self.name}"

    @property
    def url(self) -> str:
        return f"ws://{self._api}"

    @property
    def management_url(self) -> str:
        return f"http://{self._api}"

    def resource(self, name: str) -> str:
        """The full name of a table, queue or function."""
        return f"{SERVICE}-{self.name}-{name}"


class Project:
    """A copy of the project in `folder`, which keeps `build` from an earlier copy."""

    def __init__(self, folder: Path, emulator: Emulator, say: Callable[[str], None] = lambda _: None) -> None:
        self.folder = folder
        self.emulator = emulator
        self._say = say
        for entry in folder.iterdir() if folder.exists() else ():
            if entry.is_symlink() or entry.is_file():
                entry.unlink()
            elif entry.name != "build":
                shutil.rmtree(entry)
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT), dirs_exist_ok=True)
        for name in LINKED:
            (folder / name).symlink_to(ROOT / name)

    def deploy(self, stage: str, **parameters: str) -> Stage:
        """Run `osls deploy`; AssertionError with its output if it fails."""
        self.osls("deploy", stage, **parameters)
        stacks = self.emulator.client("cloudformation").describe_stacks(StackName=f"{SERVICE}-{stage}")
        outputs = {out["OutputKey"]: out["OutputValue"] for out in stacks["Stacks"][0]["Outputs"]}
        # The emulator names AWS's host; take only the API's id from it.
        host = urlsplit(outputs["ServiceEndpointWebsocket"]).hostname or ""
        return Stage(stage, self.emulator, host.partition(".")[0], outputs)

    def osls(self, command: str, stage: str, **parameters: str) -> str:
        """Return the output of `osls COMMAND --stage STAGE`."""
        given = {
            "runtime": RUNTIME,
            "architecture": ARCHITECTURE,
            "managementEndpoint": (f"{self.emulator.endpoint}/_aws/execute-api/${{WebsocketsApi}}/{stage}"),
            **parameters,
        }
        options = [f"--param={name}={value}" for name, value in given.items()]
        with subprocess.Popen(
            [self.folder / "node_modules/.bin/osls", command, "--stage", stage, "--region", REGION, *options],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            timer = threading.Timer(OSLS_TIMEOUT_S, process.kill)
            timer.start()
            lines = []
            for line in process.stdout:
                lines.append(line)
                if line.strip():
                    self._say(line.strip())
            timer.cancel()
        said = "".join(lines)
        assert process.returncode == 0, said
        return said

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace one place in a file."""
        file = self.folder / path
        text = file.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
        file.write_text(text.replace(old, new))

    def _environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {
            **ours,
            **ROOT_KEYS,
            "AWS_ENDPOINT_URL": self.emulator.endpoint,
            # Hide this machine's AWS account.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            # The folder of node.
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "NO_COLOR": "1",
            "SLS_AWS_MONITORING_FREQUENCY": "300",
            "SLS_NOTIFICATIONS_MODE": "off",
            "SLS_TELEMETRY_DISABLED": "1",
        }
