"""A picture of a report, made by the Chromium of this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from loadtest.errors import LoadTestError

if TYPE_CHECKING:
    from pathlib import Path

BINARIES = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT_S = 60
WIDTH_PX = 1040
# Chromium's limit is the size of a texture.
MAX_HEIGHT_PX = 16_000
_FIRST_HEIGHT_PX = 800
_FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def write_png(html: Path, png: Path) -> None:
    """Write a picture of the whole report in the light scheme.

    Raises LoadTestError if there is no Chromium or it fails.
    """
    binary = next(filter(None, map(shutil.which, BINARIES)), None)
    if binary is None:
        raise LoadTestError(f"a PNG needs one of {', '.join(BINARIES)} (Debian: apt-get install chromium)")
    png.parent.mkdir(parents=True, exist_ok=True)
    # An old picture must not be taken for the new one.
    png.unlink(missing_ok=True)
    # A picture has the height of its window; the report's script writes the page's height into the DOM.
    dom = _run(binary, html, _FIRST_HEIGHT_PX, "--dump-dom")
    height = re.search(r'data-height-px="(\d+)"', dom)
    if height is None:
        raise LoadTestError(f"{html} is not a report of a load test")
    _run(binary, html, min(int(height[1]), MAX_HEIGHT_PX), f"--screenshot={png.resolve()}")
    if not png.exists():
        raise LoadTestError(f"{binary} made no picture of {html}")


def _run(binary: str, html: Path, height_px: int, action: str) -> str:
    # Chromium refuses to start its sandbox as root, the usual user of containers.
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with TemporaryDirectory(prefix="report-", ignore_cleanup_errors=True) as profile:
        place = [f"--user-data-dir={profile}", f"--window-size={WIDTH_PX},{height_px}"]
        command = [binary, *_FLAGS, *sandbox, *place, action, html.resolve().as_uri()]
        try:
            done = subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_S)
        except (OSError, subprocess.SubprocessError) as error:
            raise LoadTestError(f"no picture of {html}: {error}") from error
    return done.stdout.decode(errors="replace")
