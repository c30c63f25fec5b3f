"""Imports run downwards, and a cold start of the fan-out loads no SDK."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

from tests.conftest import ROOT

Graph = Mapping[str, set[str]]


@dataclass(frozen=True)
class Package:
    """`order` lists its modules and subpackages from the bottom up; unlisted ones are on top.

    `others` are the other packages that it may import.
    """

    folder: Path
    order: list[str]
    others: frozenset[str] = frozenset()


PACKAGES = {
    # The artifact contains only this one.
    "groupcast": Package(
        ROOT / "src",
        "errors model slots protocol unicode_tables names auth ratelimit settings loading aws tokens tables "
        "holes fanout access joining replays chat runtime handlers".split(),
    ),
    "groupcast_client": Package(
        ROOT / "src",
        "errors model tokens backoff frames ratelimit ordering inbox outstanding pings connection credential "
        "membership memberships session calls group client".split(),
    ),
    "groupcast_deploy": Package(ROOT / "src", ["artifact"]),
    # It knows functions only by their names in serverless.yml, like AWS.
    "localcloud": Package(
        ROOT / "src",
        "errors origins children invoking service backends functions eventsources gateway hops timeline "
        "pageserver cloud".split(),
    ),
    "groupcast_cli": Package(
        ROOT / "src",
        "terminal stage arguments runfile users signin failures_kinds failures_queue failures cost doctor "
        "announcement up main".split(),
        frozenset({"groupcast", "groupcast_client", "localcloud"}),
    ),
    "loadtest": Package(
        ROOT,
        re.findall(r"^- (\w+):", (ROOT / "loadtest/__init__.py").read_text(), re.MULTILINE),
        frozenset({"groupcast", "groupcast_cli", "groupcast_deploy", "localcloud"}),
    ),
}


def test_imports_run_downwards() -> None:
    """A module imports its own layer, lower ones, and allowed packages; never in a cycle."""
    graph = imports(PACKAGES)
    upward = wrong(graph, PACKAGES)
    assert not upward, "\n".join(upward)
    assert circle(graph) is None
    # New modules of the load test need a place in its list.
    layers = {layer_of(name) for name in graph if name.startswith("loadtest.")}
    assert layers - {"__main__"} == set(PACKAGES["loadtest"].order)


def test_a_wrong_import_is_named() -> None:
    """With both modules, for an upward import, a forbidden package or a cycle."""
    packages = {"low": Package(ROOT, ["a", "b"]), "high": Package(ROOT, ["c"], frozenset({"low"}))}
    graph = {"low.a.x": {"low.a.y", "low.b", "high.c"}, "low.b": {"low.a.y"}, "high.c": {"low.b"}}
    assert wrong(graph, packages) == ["low.a.x imports high.c", "low.a.x imports low.b"]
    assert circle(graph) is None
    modules = (circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) or "").split(" imports ")
    assert set(pairwise(modules)) == {("a", "b"), ("b", "c"), ("c", "a")}


def imports(packages: Mapping[str, Package]) -> dict[str, set[str]]:
    """Our modules that each module imports, including those for type checkers."""
    paths = {
        ".".join(path.relative_to(package.folder).with_suffix("").parts).removesuffix(".__init__"): path
        for name, package in packages.items()
        for path in (package.folder / name).rglob("*.py")
    }
    return {name: _imported(path, {*paths, "tests"}) - {name} for name, path in paths.items()}


def _imported(path: Path, known: set[str]) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= whole & known or {node.module}
    return {name for name in names if name in known or name.startswith("tests.")}


def wrong(graph: Graph, packages: Mapping[str, Package]) -> list[str]:
    """Imports against the order of a package, or into a forbidden package."""

    def is_allowed(importer: str, imported: str) -> bool:
        package, other = importer.split(".", maxsplit=1)[0], imported.split(".", maxsplit=1)[0]
        if package != other:
            return other in packages[package].others
        order, layer, lower = packages[package].order, layer_of(importer), layer_of(imported)
        return layer == lower or layer not in order or lower in order[: order.index(layer)]

    return sorted(
        f"{importer} imports {imported}"
        for importer, every in graph.items()
        for imported in every
        if not is_allowed(importer, imported)
    )


def layer_of(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def circle(graph: Graph) -> str | None:
    """A cycle, if there is any."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " imports ".join(error.args[1][::-1])
    return None
