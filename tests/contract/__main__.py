"""`make contract`: checks the URL and the token, then runs the suite against them."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from tests.contract.preflight import PreflightError, connect_once, require_usable


def main() -> int:
    """Return the exit code: pytest's, or 2 if URL or token is missing or unusable."""
    url = os.environ.get("GROUPCAST_URL", "").rstrip("/")
    token = os.environ.get("GROUPCAST_TOKEN", "")
    try:
        require_usable(url, token)
        asyncio.run(connect_once(url, token))
    except PreflightError as error:
        print(f"make contract: {error}", file=sys.stderr)
        return 2
    return int(pytest.main(["tests/contract", *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
