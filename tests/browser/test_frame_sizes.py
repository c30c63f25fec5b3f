"""The page's client in a real browser, with messages whose JSON is larger than a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
import pytest

if TYPE_CHECKING:
    from tests.browser.chromium import Chromium
    from tests.conftest import Stack

pytestmark = pytest.mark.stack

# Longer than the first reconnect delays.
STAY_MS = 3_000
# Sends 16,384 quotation marks; returns the outcome and the number of connections.
SEND = """(async () => {{
  const {{ ChatClient }} = await import("/client/client.js");
  const {{ LIMITS }} = await import("/client/limits.js");
  let sockets = 0;
  const own = [];
  const Counted = function (...given) {{ sockets += 1; return new WebSocket(...given); }};
  const connected = Promise.withResolvers();
  const client = new ChatClient({{
    url: {url}, group: {group}, name: "eve", limits: {{ ...LIMITS, frameBytes: {frame_bytes} }},
    WebSocket: Counted,
    on: {{
      own: ({{ status, reason }}) => own.push(reason ?? status),
      state: ({{ phase }}) => phase === "connected" && connected.resolve(),
    }},
  }});
  client.open();
  await connected.promise;
  let thrown = null;
  try {{ client.send('"'.repeat(16_384)); }} catch (error) {{ thrown = error.code; }}
  await new Promise((resolve) => setTimeout(resolve, {stay_ms}));
  client.close();
  return {{ thrown, own, sockets }};
}})()"""


async def send(
    chromium: Chromium, chat_url: str, stack: Stack, frame_bytes: int, stay_ms: int
) -> dict[str, Any]:
    page = await chromium.open(chat_url)
    script = SEND.format(
        url=orjson.dumps(stack.gateway_url).decode(),
        group=orjson.dumps(str(uuid4())).decode(),
        frame_bytes=frame_bytes,
        stay_ms=stay_ms,
    )
    return dict(await page.evaluate(script))


async def test_a_message_that_no_frame_can_carry_is_refused(
    chromium: Chromium, chat_url: str, stack: Stack
) -> None:
    """It is refused at once, and the connection stays open."""
    outcome = await send(chromium, chat_url, stack, 32 * 1024, stay_ms=500)
    assert outcome == {"thrown": "TooLarge", "own": [], "sockets": 1}


async def test_a_message_that_closed_the_connection_is_not_sent_again(
    chromium: Chromium, chat_url: str, stack: Stack
) -> None:
    """Chromium sends one frame, and the gateway closes with 1009: exactly one reconnect follows."""
    outcome = await send(chromium, chat_url, stack, 128 * 1024, stay_ms=STAY_MS)
    assert (outcome["thrown"], outcome["sockets"]) == (None, 2)
    assert outcome["own"][0] == "pending"
    assert "closed the connection" in outcome["own"][1]
