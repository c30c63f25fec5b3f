"""A checkout's groupcast as deployed: its artifact, built for this machine, and its serverless.yml."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localcloud.service.definition import load_service
from localcloud.service.model import REGION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localcloud.service.model import Service

STAGE = "dev"
CORE_MB = 1769
_RUNNER = Path(__file__).parent / "function.py"
_ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Deployed:
    """A checkout's functions; `tree` is the unpacked artifact."""

    name: str
    tree: Path
    service: Service

    async def call(
        self,
        function: str,
        events: Sequence[Mapping[str, Any]],
        environ: Mapping[str, str],
        size_mb: int,
        group: Path | None,
    ) -> dict[str, Any]:
        """Run `function` in a new environment and return function.py's figures. RuntimeError if it fails."""
        quota = group and {"folder": str(group), "share": min(1.0, size_mb / CORE_MB)}
        module = self.service.functions[function].handler.rpartition(".")[0]
        process = await asyncio.create_subprocess_exec(
            # Hide this machine's packages: the artifact has its own.
            *(sys.executable, "-S", "-P", str(_RUNNER), module),
            env={
                "PATH": os.environ["PATH"],
                **self.service.functions[function].environment,
                **environ,
                "PYTHONPATH": str(self.tree),
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(json.dumps({"events": events, "quota": quota}).encode())
        if process.returncode:
            raise RuntimeError(f"{function} of {self.name} failed:\n{err.decode()[-2000:]}")
        figures: dict[str, Any] = json.loads(out)
        return figures


def deployed(name: str, checkout: Path, folder: Path) -> Deployed:
    """Build a checkout's artifact with its own builder, and unpack it into `folder`."""
    archive, tree = folder / f"{name}.zip", folder / name
    target = (
        *("--runtime", f"python{sys.version_info.major}.{sys.version_info.minor}"),
        *("--architecture", _ARCHITECTURES[platform.machine()]),
    )
    subprocess.run(
        [sys.executable, "-m", "groupcast_deploy.artifact", *target, "--output", str(archive)],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout / "src")},
        check=True,
        stdout=sys.stderr,
    )
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(tree)
    service = load_service(
        checkout / "serverless.yml", stage=STAGE, region=REGION, params={"auth": "cognito"}
    )
    return Deployed(name, tree, service)
