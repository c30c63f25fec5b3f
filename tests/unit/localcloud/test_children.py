"""Ports for child processes."""

from __future__ import annotations

import socket

import pytest

from localcloud import children
from localcloud.errors import StartError

FIRST_EPHEMERAL_PORT = 32_768


def test_ports_are_not_ephemeral() -> None:
    """Between the choice and the child's bind, no outgoing connection can take the port."""
    assert {children.free_port() < FIRST_EPHEMERAL_PORT for _ in range(100)} == {True}


def test_a_taken_port_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """If all are taken, the error names the range."""
    ports = range(children.free_port(), children.PORTS.stop)[:2]
    monkeypatch.setattr(children, "PORTS", ports)
    monkeypatch.setattr(children, "PORTS_TRIED", 2)
    with socket.create_server(("127.0.0.1", ports[0])):
        assert children.free_port() == ports[1]
        with (
            socket.create_server(("127.0.0.1", ports[1])),
            pytest.raises(StartError, match=f"from {ports[0]} to {ports[1]}"),
        ):
            children.free_port()
