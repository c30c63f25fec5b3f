"""What the artifact is built for."""

from __future__ import annotations

from dataclasses import dataclass

# The oldest glibc that uv can name and the runtime's Amazon Linux has: 2.26 there, 2.34 in 2023's.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
RUNTIMES = {
    "python3.11": "manylinux_2_17",
    "python3.12": "manylinux_2_28",
    "python3.13": "manylinux_2_28",
    "python3.14": "manylinux_2_28",
}
# Lambda's names of architectures and those of wheels.
ARCHITECTURES = {"arm64": "aarch64", "x86_64": "x86_64"}


@dataclass(frozen=True, slots=True)
class Target:
    """A Lambda runtime and architecture, by AWS's names: a key of RUNTIMES, one of ARCHITECTURES."""

    runtime: str = "python3.13"
    architecture: str = "arm64"

    @property
    def python(self) -> str:
        """The interpreter's version, such as 3.13."""
        return self.runtime.removeprefix("python")

    @property
    def platform(self) -> str:
        """The platform by uv's name, such as aarch64-manylinux_2_28."""
        return f"{ARCHITECTURES[self.architecture]}-{RUNTIMES[self.runtime]}"
