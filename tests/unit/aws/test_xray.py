from __future__ import annotations

import socket

import orjson
import pytest

from groupcast.aws.xray import annotate

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


def test_a_traced_invocation_sends_one_subsegment() -> None:
    """The daemon gets the header line and a document below Lambda's own segment."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(5)
        environ = {
            "_X_AMZN_TRACE_ID": TRACE,
            "AWS_XRAY_DAEMON_ADDRESS": f"127.0.0.1:{daemon.getsockname()[1]}",
        }
        assert annotate(environ, "fan-out", 100.5, 101.25, {"delivered": 7, "window": 64})
        header, document = daemon.recv(65_536).split(b"\n")
    assert orjson.loads(header) == {"format": "json", "version": 1}
    segment = orjson.loads(document)
    assert len(segment.pop("id")) == 16
    assert segment == {
        "name": "fan-out",
        "trace_id": "1-5759e988-bd862e3fe1be46a994272793",
        "parent_id": "53995c3f42cd8ad8",
        "type": "subsegment",
        "start_time": 100.5,
        "end_time": 101.25,
        "annotations": {"delivered": 7, "window": 64},
    }


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"_X_AMZN_TRACE_ID": TRACE},
        {"_X_AMZN_TRACE_ID": TRACE, "AWS_XRAY_DAEMON_ADDRESS": "nowhere"},
        {"_X_AMZN_TRACE_ID": TRACE[:-1] + "0", "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:9"},
        {"_X_AMZN_TRACE_ID": "Root=1-2;Sampled=1", "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:9"},
        {"_X_AMZN_TRACE_ID": "what?", "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:9"},
    ],
)
def test_an_untraced_invocation_sends_nothing(environ: dict[str, str]) -> None:
    """Not sampled, no daemon, or an unreadable header."""
    assert not annotate(environ, "fan-out", 1.0, 2.0, {})
