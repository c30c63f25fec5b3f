"""The page in a real browser, against the whole chat."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode
from uuid import uuid4

import orjson
import pytest

if TYPE_CHECKING:
    from tests.browser.chromium import Chromium, Page

pytestmark = pytest.mark.stack

TEXTS = "[...document.querySelectorAll('.message .text')].map(node => node.textContent)"
CONNECTED = "document.querySelector('#state').dataset.phase === 'connected'"

# Keeps every frame of the page's sockets in `frames`.
LISTEN = """(() => { const send = WebSocket.prototype.send; window.frames = [];
  WebSocket.prototype.send = function (data) {
    if (!this.isHeard) this.addEventListener('message', event => frames.push(JSON.parse(event.data)));
    this.isHeard = true; frames.push(JSON.parse(data)); return send.call(this, data) } })()"""


@pytest.fixture
def group() -> str:
    return f"group-{uuid4()}"


async def enter(chromium: Chromium, chat_url: str, group: str, name: str, *, width_px: int = 900) -> Page:
    """Open an invite link with a name, which joins automatically."""
    url = f"{chat_url}/?{urlencode({'group': group, 'name': name})}"
    page = await chromium.open(url, width_px=width_px)
    await page.wait_for(CONNECTED)
    return page


async def say(page: Page, text: str) -> None:
    await page.fill("#text", text)
    await page.press_enter()


async def sees(page: Page, texts: list[str]) -> None:
    """Wait for exactly these messages, in this order."""
    await page.wait_for(f"JSON.stringify({TEXTS}) === JSON.stringify({orjson.dumps(texts).decode()})")


async def test_two_windows_talk_and_a_third_reads_it_later(
    chromium: Chromium, chat_url: str, group: str
) -> None:
    """Korean text goes both ways in one order, later visitors see it, and the console stays empty."""
    ann = await enter(chromium, chat_url, group, "Ann")
    minji = await enter(chromium, chat_url, group, "민지")
    texts = ["안녕하세요, 민지!", "반가워요 🙂 <b>굵게</b>"]
    await say(ann, texts[0])
    await sees(minji, texts[:1])
    await say(minji, texts[1])
    later = await enter(chromium, chat_url, group, "Later")
    for page in (ann, minji, later):
        await sees(page, texts)
        assert page.errors == []
    sides = "[...document.querySelectorAll('.message')].map(node => node.classList.contains('mine'))"
    assert [await page.evaluate(sides) for page in (ann, minji, later)] == [
        [True, False],
        [False, True],
        [False, False],
    ]
    assert await later.evaluate(
        "[...document.querySelectorAll('.sender')].map(node => node.textContent)"
    ) == [
        "Ann",
        "민지",
    ]


async def test_a_visitor_joins_through_the_form_and_is_remembered(
    chromium: Chromium, chat_url: str, group: str
) -> None:
    """The form reports missing fields, joins, and is filled in at the next visit."""
    page = await chromium.open(chat_url)
    await page.wait_for("!document.querySelector('#welcome').hidden")
    await page.click("#join button")
    assert await page.evaluate("document.activeElement.id") == "name"
    assert "fill this in" in await page.evaluate("document.querySelector('#name-error').textContent")
    await page.fill("#name", "Ann")
    await page.fill("#group", group)
    await page.press_enter()
    await page.wait_for(CONNECTED)
    await page.wait_for("!document.querySelector('#empty').hidden")
    await page.click("#leave")
    await page.go_to(chat_url)
    assert await page.evaluate("document.querySelector('#group').value") == group
    assert await page.evaluate("document.querySelector('#name').value") == "Ann"
    assert page.errors == []


async def test_the_narrowest_phone_needs_no_sideways_scrolling(
    chromium: Chromium, chat_url: str, group: str
) -> None:
    """Even with a long group name and a long word."""
    page = await enter(chromium, chat_url, f"{group}-{group}", "Ann", width_px=320)
    await say(page, "x" * 200)
    await sees(page, ["x" * 200])
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
    assert await page.evaluate("document.querySelector('#send').getBoundingClientRect().right") <= 320


async def test_enter_in_a_composition_does_not_send(chromium: Chromium, chat_url: str, group: str) -> None:
    """The Enter that completes a Korean syllable belongs to the input method; the next Enter sends."""
    page = await enter(chromium, chat_url, group, "민지")
    await page.fill("#text", "")
    await page.command("Input.imeSetComposition", text="안녕", selectionStart=2, selectionEnd=2)
    composing = (
        "new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true, cancelable: true})"
    )
    assert await page.evaluate(f"document.querySelector('#text').dispatchEvent({composing})") is True
    assert await page.evaluate(f"{TEXTS}.length") == 0
    await page.command("Input.insertText", text="안녕")
    await page.press_enter()
    await sees(page, ["안녕"])
    assert await page.evaluate("document.querySelector('#text').value") == ""


async def test_a_burst_over_the_limit_arrives_whole(chromium: Chromium, chat_url: str, group: str) -> None:
    """Messages over the limit are pending, then sent once and in order.

    A slow machine may never exceed the limit; tests/unit/groupcast_web has a test that always does.
    """
    page = await enter(chromium, chat_url, group, "Ann")
    await page.evaluate(LISTEN)
    texts = [f"text {number}" for number in range(40)]
    write = "text => { field.value = text; field.form.requestSubmit() }"
    await page.evaluate(
        f"(field => {orjson.dumps(texts).decode()}.forEach({write}))(document.querySelector('#text'))"
    )
    pending = "document.querySelectorAll('.message[data-status=pending]').length"
    assert await page.evaluate(pending) > 0
    await page.wait_for("document.querySelectorAll('.message[data-status=sent]').length === 40")
    await sees(page, texts)
    later = await enter(chromium, chat_url, group, "Later")
    await sees(later, texts)
    assert page.errors == []
