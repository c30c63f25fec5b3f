"""Selects the files that functions need from the installed packages. Pure."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

# botocore parses this file for every client: 1.2 MB, of which we need one service.
ENDPOINTS = PurePosixPath("botocore", "data", "endpoints.json")
# The services that groupcast uses through aioboto3. Data of the other 400 is a third of all bytes.
SERVICES = frozenset({"dynamodb"})
_SDK_DATA = {("botocore", "data"), ("boto3", "data")}
_DEVELOPMENT = {"__pycache__", "examples", "tests"}
# Sources of compiled modules, type stubs, and web pages.
_DEVELOPMENT_SUFFIXES = {".c", ".css", ".h", ".js", ".pxd", ".pxi", ".pyi", ".pyx", ".rst", ".typed"}


def is_needed(path: PurePosixPath) -> bool:
    """Whether a file of the installed tree goes into the artifact; `path` is relative to the tree."""
    top, *inside = path.parts
    if not inside:
        return path.suffix in {".py", ".so"}
    if top == "bin" or path.suffix in _DEVELOPMENT_SUFFIXES or _DEVELOPMENT.intersection(path.parent.parts):
        return False
    if top.endswith(".dist-info"):
        return _is_notice(inside)
    if path.parts[:2] in _SDK_DATA and path.parent.parts != path.parts[:2]:
        return path.parts[2] in SERVICES and not path.name.startswith("examples-")
    return True


def without_other_services(endpoints: bytes) -> bytes:
    """The document ENDPOINTS reduced to SERVICES, with all regions and partitions."""
    document = json.loads(endpoints)
    for partition in document["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in services if name in SERVICES}
    return json.dumps(document, separators=(",", ":")).encode()


def _is_notice(inside: list[str]) -> bool:
    # Scanners such as Amazon Inspector find vulnerable versions by METADATA; licences must be distributed.
    return inside[0] == "licenses" or inside[0].startswith(("METADATA", "LICENSE", "NOTICE"))
