"""Signing in on the page, in a real browser, against the whole chat with its user pool."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from tests.browser.test_page import CONNECTED, LISTEN, say, sees

if TYPE_CHECKING:
    from tests.browser.chromium import Chromium, Page
    from tests.conftest import Stack

pytestmark = pytest.mark.stack

PRIVATE = "private-team"
SIGN_IN_SHOWN = "!document.querySelector('#sign-in').hidden && !document.querySelector('#welcome').hidden"
JOIN_SHOWN = "!document.querySelector('#join').hidden && !document.querySelector('#welcome').hidden"
SIGN_IN_PROBLEM = "document.querySelector('#sign-in-problem').textContent"
GROUP_PROBLEM = "document.querySelector('#group-error').textContent"
STATE = "document.querySelector('#state-text').textContent"
SENDERS = "[...document.querySelectorAll('.sender')].map(node => node.textContent)"
# All places where a page can leave data, and its visible content.
LEFT_BEHIND = """JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href,
  document.documentElement.outerHTML, document.querySelector('#password').value])"""
# A token with a wrong signature.
SPOIL_TOKENS = """(() => { window.realFetch = fetch; window.fetch = async (...request) => {
  const answer = await (await realFetch(...request)).json();
  answer.AuthenticationResult.AccessToken = answer.AuthenticationResult.AccessToken.slice(0, -8) + 'AAAAAAAA';
  return new Response(JSON.stringify(answer)) } })()"""
AN_HOUR_LATER = "(() => { const now = Date.now; Date.now = () => now() + 3_600_000 })()"


@pytest.fixture
def group() -> str:
    return f"group-{uuid4()}"


async def open_page(chromium: Chromium, stack: Stack, group: str = "", *, width_px: int = 900) -> Page:
    query = f"/?{urlencode({'group': group})}" if group else ""
    page = await chromium.open(stack.page_url + query, width_px=width_px)
    await page.wait_for(SIGN_IN_SHOWN)
    return page


async def sign_in(page: Page, user: str, password: str) -> None:
    await page.fill("#user", user)
    await page.fill("#password", password)
    await page.press_enter()


async def enter(chromium: Chromium, stack: Stack, group: str, user: str) -> Page:
    """Open an invite link, sign in, and join the group."""
    page = await open_page(chromium, stack, group)
    await sign_in(page, user, stack.passwords[user])
    await page.wait_for(CONNECTED)
    return page


async def test_a_signed_in_user_chats_under_the_pools_name(chromium: Chromium, cognito_stack: Stack) -> None:
    """Members of a private group meet there through an invite link."""
    ann = await enter(chromium, cognito_stack, PRIVATE, "ann")
    bob = await enter(chromium, cognito_stack, PRIVATE, "bob")
    before: list[str] = await ann.evaluate("[...document.querySelectorAll('.text')].map(n => n.textContent)")
    texts = [f"안녕하세요 {uuid4()}", f"hello {uuid4()}"]
    await say(ann, texts[0])
    await sees(bob, [*before, texts[0]])
    await say(bob, texts[1])
    await sees(ann, [*before, *texts])
    assert (await ann.evaluate(SENDERS))[-1] == "bob"
    assert (await bob.evaluate(SENDERS))[-1] == "ann"
    assert await ann.evaluate(STATE) == "Connected as ann"
    assert ann.errors == bob.errors == []


async def test_secrets_stay_in_memory(chromium: Chromium, cognito_stack: Stack, group: str) -> None:
    """Neither token nor password is in storage, address or document; a reload asks again."""
    page = await enter(chromium, cognito_stack, group, "ann")
    left = await page.evaluate(LEFT_BEHIND)
    assert group in left
    # A JWT starts with the base64 of `{"`.
    assert "eyJ" not in left
    assert cognito_stack.passwords["ann"] not in left
    await page.go_to(f"{cognito_stack.page_url}/?group={group}")
    await page.wait_for(SIGN_IN_SHOWN)
    assert page.errors == []


async def test_a_wrong_password_is_reported_and_can_be_corrected(
    chromium: Chromium, cognito_stack: Stack, group: str
) -> None:
    """The form reports the error, keeps the user name, and works with the right password."""
    page = await open_page(chromium, cognito_stack)
    await page.click("#sign-in button")
    assert await page.evaluate("document.activeElement.id") == "user"
    assert "fill this in" in await page.evaluate("document.querySelector('#password-error').textContent")
    for user, password in (("ann", "wrong-Pass-1"), ("nobody", "wrong-Pass-1")):
        await sign_in(page, user, password)
        await page.wait_for(f"{SIGN_IN_PROBLEM}.includes('do not match')")
        assert await page.evaluate("document.activeElement.id") == "password"
    await sign_in(page, "ann", cognito_stack.passwords["ann"])
    await page.wait_for(JOIN_SHOWN)
    assert await page.evaluate("document.querySelector('#password').value") == ""
    await page.fill("#group", group)
    await page.press_enter()
    await page.wait_for(CONNECTED)
    # The browser itself logs responses with status 400: one for each wrong password.
    assert len(page.errors) == 2
    assert all("400" in error for error in page.errors)


async def test_a_private_group_is_for_its_members(
    chromium: Chromium, cognito_stack: Stack, group: str
) -> None:
    """Others get an error, stay signed in, and return to the previous group with one press of Enter."""
    eve = await enter(chromium, cognito_stack, group, "eve")
    await eve.click("#leave")
    await eve.wait_for(JOIN_SHOWN)
    await eve.fill("#group", PRIVATE)
    await eve.press_enter()
    await eve.wait_for(f"{GROUP_PROBLEM}.includes('eve is not a member')")
    assert await eve.evaluate(JOIN_SHOWN)
    assert await eve.evaluate("document.querySelector('#group').value") == group
    await eve.press_enter()
    await eve.wait_for(CONNECTED)
    assert await eve.evaluate("document.querySelector('#title').textContent") == group
    assert eve.errors == []


async def test_signing_out_ends_the_chat(chromium: Chromium, cognito_stack: Stack, group: str) -> None:
    """Back at the form, the next user starts without any data of the first."""
    page = await enter(chromium, cognito_stack, group, "ann")
    await say(page, "hello")
    await sees(page, ["hello"])
    await page.click("#chat .sign-out")
    await page.wait_for(SIGN_IN_SHOWN)
    assert await page.evaluate("document.querySelectorAll('.message').length") == 0
    assert group not in await page.evaluate("location.href")
    await sign_in(page, "bob", cognito_stack.passwords["bob"])
    await page.wait_for(JOIN_SHOWN)
    assert await page.evaluate("document.querySelector('#who').innerText.includes('bob')")
    await page.click("#who .sign-out")
    await page.wait_for(SIGN_IN_SHOWN)
    assert page.errors == []


async def test_a_session_outlasts_its_token(chromium: Chromium, cognito_stack: Stack, group: str) -> None:
    """When the token ends, a new one is renewed on the same connection, and the chat continues."""
    page = await open_page(chromium, cognito_stack, group)
    await page.evaluate(LISTEN)
    await sign_in(page, "ann", cognito_stack.passwords["ann"])
    await page.wait_for(CONNECTED)
    await page.evaluate(AN_HOUR_LATER)
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange')), 0")
    await page.wait_for("frames.some(frame => frame.type === 'renewed')")
    tokens = await page.evaluate("frames.filter(frame => frame.action === 'renew').map(frame => frame.token)")
    assert len(tokens) == 1
    renewed = await page.evaluate("frames.find(frame => frame.type === 'renewed')")
    assert renewed["groupId"] == group
    await say(page, "still here")
    await sees(page, ["still here"])
    assert await page.evaluate("frames.filter(frame => frame.action === 'joinGroup').length") == 1
    assert page.errors == []


async def test_a_refused_token_leads_back_to_the_form(
    chromium: Chromium, cognito_stack: Stack, group: str
) -> None:
    """Browsers report only failed handshakes: after a few, the form says so and keeps the invite link."""
    page = await open_page(chromium, cognito_stack, group)
    await page.evaluate(SPOIL_TOKENS)
    await sign_in(page, "ann", cognito_stack.passwords["ann"])
    await page.wait_for(f"{SIGN_IN_PROBLEM}.includes('did not let you in')")
    assert await page.evaluate(SIGN_IN_SHOWN)
    assert len(page.errors) == 3
    # Chromium's log line for a status 401, without the token.
    assert all("HTTP Authentication failed" in error and "eyJ" not in error for error in page.errors)
    await page.evaluate("window.fetch = window.realFetch, 0")
    await sign_in(page, "ann", cognito_stack.passwords["ann"])
    await page.wait_for(CONNECTED)
    assert await page.evaluate("document.querySelector('#title').textContent") == group


async def test_a_phone_shows_the_form_and_the_chat(
    chromium: Chromium, cognito_stack: Stack, group: str
) -> None:
    """On the narrowest phone nothing scrolls sideways or overlaps."""
    page = await open_page(chromium, cognito_stack, f"{group}-{group}", width_px=320)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
    await sign_in(page, "ann", cognito_stack.passwords["ann"])
    await page.wait_for(CONNECTED)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320
    ends = (
        "['.where', '#state-text', '.actions'].map(of => document.querySelector(of).getBoundingClientRect())"
    )
    where, state, actions = await page.evaluate(f"{ends}.map(box => box.toJSON())")
    assert max(where["right"], state["right"]) <= actions["left"]
    assert actions["right"] <= 320
    assert page.errors == []
