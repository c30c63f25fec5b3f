"""The frame splitter compared with the websockets library."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from loadtest.errors import ConnectError
from loadtest.generate.framing import MAX_MESSAGE_BYTES, FrameSplitter, client_frame, server_frame

PAYLOADS = st.one_of(st.binary(max_size=200), st.integers(120, 70_000).map(lambda size: b"x" * size))
CONTROL = st.tuples(st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=125))


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[tuple[int, bytes]]]:
    """A server's bytes and their messages: fragments, control frames between, masked or not."""
    data, messages = b"", []
    for payload in draw(st.lists(PAYLOADS, max_size=5)):
        opcode = draw(st.sampled_from([Opcode.TEXT, Opcode.BINARY]))
        cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
        parts = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
        for place, part in enumerate(parts):
            last = place == len(parts) - 1
            frame = Frame(opcode if place == 0 else Opcode.CONT, part, fin=last)
            data += frame.serialize(mask=draw(st.booleans()))
            if last:
                messages.append((int(opcode), payload))
            if draw(st.booleans()):
                kind, content = draw(CONTROL)
                data += Frame(kind, content).serialize(mask=False)
                messages.append((int(kind), content))
    return data, messages


@given(streams(), st.data())
def test_messages_come_out_whole_however_they_arrive(
    stream: tuple[bytes, list[tuple[int, bytes]]], data: st.DataObject
) -> None:
    """For any cuts the messages are the same, and the splitter is idle at the end."""
    sent, messages = stream
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=8)))
    splitter = FrameSplitter()
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        found += splitter.feed(sent[start:end])
    assert found == messages
    assert splitter.idle


@given(PAYLOADS)
def test_client_frames_are_valid_for_a_server(payload: bytes) -> None:
    """The library's server side accepts our frames; it requires masking."""
    server = ServerProtocol(state=OPEN, max_size=None)
    server.receive_data(client_frame(payload, Opcode.BINARY))
    (frame,) = server.events_received()
    assert isinstance(frame, Frame)
    assert bytes(frame.data) == payload


def test_a_partial_frame_leaves_it_busy() -> None:
    """A frame counts only with its last byte, and the next bytes belong to it."""
    frame = server_frame(b"hello")
    splitter = FrameSplitter()
    assert splitter.feed(frame[:-1]) == []
    assert not splitter.idle
    assert splitter.feed(frame[-1:]) == [(Opcode.TEXT, b"hello")]
    assert splitter.idle


def test_a_message_without_end_is_refused() -> None:
    """Incomplete messages are bounded."""
    splitter = FrameSplitter()
    part = Frame(Opcode.TEXT, b"x" * (MAX_MESSAGE_BYTES // 2), fin=False).serialize(mask=False)
    more = Frame(Opcode.CONT, b"x" * MAX_MESSAGE_BYTES, fin=False).serialize(mask=False)
    splitter.feed(part)
    with pytest.raises(ConnectError, match="more than"):
        splitter.feed(more)
