"""Shared by the tests of artifacts."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from groupcast_deploy.artifact import Target

HOST_ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine())


@dataclass(frozen=True, slots=True)
class Built:
    """An artifact and the folder with its unpacked files."""

    archive: Path
    folder: Path


Sources = Callable[[str], Path]
BuildFor = Callable[[Target], Built]
