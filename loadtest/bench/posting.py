"""Rows about posting alone: members are known, and a sink answers immediately."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from loadtest.bench import fixtures
from loadtest.bench.pairs import Row, row_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadtest.bench.pairs import Bench, Measured

CONNECTIONS = 64
ENGINE_POSTS = 20_000
PEER_POSTS = 1_500
WRK_SECONDS = 2


def cpu_per_post(bench: Bench, *, tls: bool) -> list[Row]:
    """Compare CPU per accepted post with aioboto3 with a bounded gather, and with other peers."""
    with tempfile.TemporaryDirectory() as folder:
        chain, key, ca = fixtures.certificate(Path(folder))
        with fixtures.sink(*(("--tls", chain, key) if tls else ())) as port:
            scheme, more = ("https", ("--cafile", ca)) if tls else ("http", ())
            endpoint = f"{scheme}://127.0.0.1:{port}/dev"

            def poster(module: str, posts: int) -> Callable[[], Measured]:
                return lambda: fixtures.measure(
                    f"loadtest.peers.{module}",
                    *("--endpoint", endpoint, "--posts", str(posts), "--window", str(CONNECTIONS)),
                    *more,
                )

            ours = poster("groupcast_engine", ENGINE_POSTS)
            theirs = poster("aioboto3_gather", PEER_POSTS)
            pairs = list(bench.alternate(ours, theirs))
            rows = [_cpu_row("aioboto3 gather", pairs, "TLS" if tls else "HTTP", 15 if tls else 25)]
            if not tls:
                rows += _other_peers(bench, ours, poster, endpoint)
            return rows


def _other_peers(
    bench: Bench,
    ours: Callable[[], Measured],
    poster: Callable[[str, int], Callable[[], Measured]],
    endpoint: str,
) -> list[Row]:
    rows = []
    for module, name in (("boto3_threads", "boto3 threads"), ("boto3_sequential", "boto3 in a loop")):
        rows.append(_cpu_row(name, list(bench.alternate(ours, poster(module, PEER_POSTS))), "HTTP", 1))

    def node() -> Measured | None:
        arguments = ("--endpoint", endpoint, "--posts", str(PEER_POSTS), "--window", str(CONNECTIONS))
        return fixtures.measure_node("loadtest/peers/node_promise_all.mjs", *arguments)

    if node() is None:
        bench.say("skipping the row of Node, which is not installed")
        return rows
    pairs = list(bench.alternate(ours, lambda: node() or {}))
    return [*rows, _cpu_row("Node SDK v3 Promise.all", pairs, "HTTP", 1)]


def _cpu_row(peer: str, pairs: list[tuple[Measured, Measured]], wire: str, target: float) -> Row:
    ratios = [_per_post(theirs) / _per_post(ours) for ours, theirs in pairs]
    mine = sorted(_per_post(ours) for ours, _ in pairs)[len(pairs) // 2] * 1e3
    other = sorted(_per_post(theirs) for _, theirs in pairs)[len(pairs) // 2] * 1e3
    detail = f"{mine:.4f} against {other:.3f} ms of CPU"
    return row_of(f"CPU per accepted post, {wire}, against {peer}", ratios, target, detail=detail)


def _per_post(measured: Measured) -> float:
    if measured["accepted"] != measured["posts"]:
        raise RuntimeError(f"some posts were not accepted: {measured}")
    return float(measured["cpu_s"]) / int(measured["posts"])


def posts_per_second(bench: Bench) -> list[Row]:
    """Compare posts a second of one process with wrk on the same sink and number of connections."""
    with fixtures.sink() as port:
        endpoint = f"http://127.0.0.1:{port}/dev"
        url = f"{endpoint}/@connections/L0SM9cOFvHcCIhw%3D"
        if fixtures.wrk(url, CONNECTIONS, 1) is None:
            bench.say("skipping the row of wrk, which is not installed (apt-get install wrk)")
            return []
        arguments = ("--endpoint", endpoint, "--posts", str(3 * ENGINE_POSTS), "--window", str(CONNECTIONS))
        pairs = bench.alternate(
            lambda: fixtures.measure("loadtest.peers.groupcast_engine", *arguments),
            lambda: {"per_s": fixtures.wrk(url, CONNECTIONS, WRK_SECONDS)},
        )
        rates = [(ours["posts"] / ours["wall_s"], theirs["per_s"]) for ours, theirs in pairs]
    mine, other = (sorted(rate)[len(rates) // 2] for rate in zip(*rates, strict=True))
    ratios = [ours / theirs for ours, theirs in rates]
    detail = f"{mine:,.0f} against {other:,.0f} a second"
    return [row_of("posts a second, one process, against wrk (C)", ratios, 0.5, detail=detail)]
