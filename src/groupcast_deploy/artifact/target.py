"""The artifact's runtime and architecture."""

from __future__ import annotations

from dataclasses import dataclass

# A manylinux platform of uv, no newer than the runtime's glibc: Amazon Linux 2 has 2.26, 2023 has 2.34.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
RUNTIMES = {
    "python3.11": "manylinux_2_17",
    "python3.12": "manylinux_2_28",
    "python3.13": "manylinux_2_28",
    "python3.14": "manylinux_2_28",
}
# Lambda's name of each architecture, and the name in wheels.
ARCHITECTURES = {"arm64": "aarch64", "x86_64": "x86_64"}


@dataclass(frozen=True, slots=True)
class Target:
    """A Lambda runtime (a key of RUNTIMES) and architecture (a key of ARCHITECTURES)."""

    runtime: str = "python3.13"
    architecture: str = "arm64"

    @property
    def python(self) -> str:
        """The interpreter's version, such as 3.13."""
        return self.runtime.removeprefix("python")

    @property
    def platform(self) -> str:
        """uv's name of the platform, such as aarch64-manylinux_2_28."""
        return f"{ARCHITECTURES[self.architecture]}-{RUNTIMES[self.runtime]}"
