"""A browser under test: starts Chromium and drives it over the DevTools protocol.

The protocol: https://chromedevtools.github.io/devtools-protocol/ (flat sessions over one WebSocket).
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import shutil
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from websockets.asyncio.client import ClientConnection

BINARIES = ("chromium", "chromium-browser", "google-chrome")
START_TIMEOUT_S = 30.0
REPLY_TIMEOUT_S = 20.0
WAIT_TIMEOUT_S = 20.0
POLL_INTERVAL_S = 0.02
# Screenshots come as one frame.
MAX_FRAME_BYTES = 32 * 1024 * 1024
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


def find_chromium() -> str | None:
    """Return the path of a Chromium on this machine, if there is one."""
    return next(filter(None, map(shutil.which, BINARIES)), None)


@dataclass
class Page:
    """A window with its own storage."""

    browser: Chromium
    session_id: str
    # The page's console errors, uncaught exceptions and failed loads.
    errors: list[str] = field(default_factory=list)

    async def command(self, method: str, **params: Any) -> dict[str, Any]:
        return await self.browser.command(method, self.session_id, **params)

    async def go_to(self, url: str) -> None:
        """Load `url` in this window, with its scripts."""
        # The command returns once the new document has replaced the old one.
        answer = await self.command("Page.navigate", url=url)
        assert "errorText" not in answer, f"{url}: {answer['errorText']}"
        await self.wait_for("document.readyState === 'complete'")

    async def evaluate(self, expression: str) -> Any:
        """Return the JSON value of an expression, awaiting a promise. Raises AssertionError if it throws."""
        result = await self.command(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    async def wait_for(self, condition: str) -> None:
        """Return once the condition holds. Raises AssertionError, with the page's text, if it never does."""
        try:
            async with asyncio.timeout(WAIT_TIMEOUT_S):
                # Poll: the condition changes in another process.
                while not await self.evaluate(f"Boolean({condition})"):  # noqa: ASYNC110
                    await asyncio.sleep(POLL_INTERVAL_S)
        except TimeoutError:
            shown = await self.evaluate("document.body.innerText")
            raise AssertionError(f"never true: {condition}\nerrors: {self.errors}\npage:\n{shown}") from None

    async def click(self, selector: str) -> None:
        await self.evaluate(f"document.querySelector({_js(selector)}).click()")

    async def fill(self, selector: str, text: str) -> None:
        """Replace a field's content by `text`."""
        await self.evaluate(
            f"(field => {{ field.focus(); field.select() }})(document.querySelector({_js(selector)}))"
        )
        await self.command("Input.insertText", text=text)

    async def press_enter(self) -> None:
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        await self.command("Input.dispatchKeyEvent", type="keyDown", text="\r", **key)
        await self.command("Input.dispatchKeyEvent", type="keyUp", **key)

    async def screenshot(self, path: Path) -> None:
        shot = await self.command("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(shot["data"]))


class Chromium:
    """A running browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}

    @classmethod
    @asynccontextmanager
    async def launch(cls, binary: str) -> AsyncIterator[Self]:
        """Start the browser with a new profile, and stop it at the end."""
        with TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
            process = await asyncio.create_subprocess_exec(
                binary,
                *FLAGS,
                f"--user-data-dir={profile}",
                "about:blank",
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                url = await _devtools_url(Path(profile), process)
                async with connect(url, max_size=MAX_FRAME_BYTES, ping_interval=None, proxy=None) as socket:
                    browser = cls(socket)
                    reading = asyncio.create_task(browser._read())
                    try:
                        yield browser
                    finally:
                        # Closed this way, its child processes end with it.
                        await browser.command("Browser.close")
                        await reading
            finally:
                if process.returncode is None:
                    with suppress(ProcessLookupError):
                        process.terminate()
                await process.wait()

    async def open(self, url: str, *, width_px: int = 900, height_px: int = 700, dark: bool = False) -> Page:
        """Open `url` in a window that shares no data with others."""
        context = await self.command("Target.createBrowserContext")
        target = await self.command(
            "Target.createTarget", url="about:blank", browserContextId=context["browserContextId"]
        )
        attached = await self.command("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = self._pages[attached["sessionId"]] = Page(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Log"):
            await page.command(f"{domain}.enable")
        # Otherwise only one window has the focus.
        await page.command("Emulation.setFocusEmulationEnabled", enabled=True)
        await page.command(
            "Emulation.setDeviceMetricsOverride",
            width=width_px,
            height=height_px,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await page.command("Emulation.setEmulatedMedia", features=[scheme])
        await page.go_to(url)
        return page

    async def command(self, method: str, session_id: str | None = None, **params: Any) -> dict[str, Any]:
        """Send a command and return its result. Raises AssertionError if the browser refuses it."""
        message_id = next(self._ids)
        message = {"id": message_id, "method": method, "params": params}
        if session_id is not None:
            message["sessionId"] = session_id
        reply = self._replies[message_id] = asyncio.get_running_loop().create_future()
        await self._socket.send(orjson.dumps(message).decode())
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            answer = await reply
        assert "error" not in answer, f"{method}: {answer.get('error')}"
        result: dict[str, Any] = answer["result"]
        return result

    async def _read(self) -> None:
        # The browser ends without a closing handshake.
        with suppress(ConnectionClosed):
            async for raw in self._socket:
                message = orjson.loads(raw)
                if "id" in message:
                    reply = self._replies.pop(message["id"])
                    if not reply.done():
                        reply.set_result(message)
                elif page := self._pages.get(message.get("sessionId", "")):
                    page.errors += _errors_in(message)


def _errors_in(event: dict[str, Any]) -> list[str]:
    params = event["params"]
    if event["method"] == "Runtime.exceptionThrown":
        details = params["exceptionDetails"]
        return [details.get("exception", {}).get("description", details["text"])]
    if event["method"] == "Runtime.consoleAPICalled" and params["type"] == "error":
        return [str([argument.get("value", argument.get("description")) for argument in params["args"]])]
    if event["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
        return [f"{params['entry']['text']} {params['entry'].get('url', '')}"]
    return []


async def _devtools_url(profile: Path, process: asyncio.subprocess.Process) -> str:
    # The browser writes its port and path into this file once it listens.
    told = profile / "DevToolsActivePort"
    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            assert process.returncode is None, f"the browser ended with {process.returncode}"
            lines = (await asyncio.to_thread(told.read_text)).splitlines() if told.exists() else []
            if len(lines) == 2:
                return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
            await asyncio.sleep(POLL_INTERVAL_S)


def _js(value: str) -> str:
    return orjson.dumps(value).decode()
