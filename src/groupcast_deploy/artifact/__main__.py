"""`python -m groupcast_deploy.artifact [--runtime R] [--architecture A] [--output FILE]`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from groupcast_deploy.artifact import ARCHITECTURES, RUNTIMES, Artifact, ArtifactError, Target, build

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Build the artifact; exit code 0 on success, 1 if it cannot be built, 2 for wrong usage."""
    options = _parser().parse_args(argv)
    target = Target(options.runtime, options.architecture)
    try:
        artifact = build(
            Path.cwd(), target, options.output, lambda step: print(f"artifact: {step} …", flush=True)
        )
    except (ArtifactError, OSError, subprocess.SubprocessError) as error:
        print(f"artifact: {error}", file=sys.stderr)
        return 1
    print(_described(artifact, target))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m groupcast_deploy.artifact",
        description="Build the zip file for Lambda, unless it is up to date.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    default = Target()
    parser.add_argument("--runtime", choices=RUNTIMES, default=default.runtime, help="Lambda runtime")
    parser.add_argument(
        "--architecture",
        choices=ARCHITECTURES,
        default=default.architecture,
        help="architecture of the functions",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("build/groupcast.zip"), metavar="FILE", help="zip file to write"
    )
    return parser


def _described(artifact: Artifact, target: Target) -> str:
    if artifact.bytecode:
        compiled = f"bytecode of Python {artifact.bytecode}"
    else:
        compiled = (
            f"no bytecode, so cold starts are slower: found no Python {target.python} "
            f"(.venv/bin/uv python install {target.python})"
        )
    state = "built" if artifact.built else "is up to date"
    sizes = f"{artifact.zipped_bytes / 1e6:.1f} MB, {artifact.unzipped_bytes / 1e6:.1f} MB unzipped"
    return f"{artifact.path} {state}: {target.runtime}, {target.architecture}, {sizes}, {compiled}"


if __name__ == "__main__":
    sys.exit(main())
