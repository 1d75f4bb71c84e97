"""Photograph every page of the built site, wide and narrow, light and dark; fail on errors in the console.

    python -m sphinx -b html docs docs/_build
    python docs/screenshots.py OUTPUT [--pages 'guide/*'] [--browser chromium]

It writes ``PAGE-1280-light.png`` and so on into the folder OUTPUT. A page that is wider than the window is a
problem, too.
"""

import argparse
import asyncio
import base64
import fnmatch
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

SITE = Path(__file__).parent / "_build"
OPTIONS = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
SIZE = "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
LONGEST = 8000  # pixels of a picture


class Tab:
    """A tab of Chromium, driven by its DevTools protocol; `problems` collects what its console says."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket, self.number, self.loaded, self.problems = socket, 0, False, []

    async def call(self, method: str, **values: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self.number = number = self.number + 1
        await self.socket.send_json({"id": number, "method": method, "params": values})
        while (message := await self.read()).get("id") != number:
            pass
        return message["result"]

    async def read(self) -> dict[str, Any]:
        """Read one message, and note what it says about the page."""
        message = await self.socket.receive_json()
        match message:
            case {"method": "Page.loadEventFired"}:
                self.loaded = True
            case {"method": "Log.entryAdded", "params": {"entry": {"level": "error" | "warning", "text": text}}}:
                self.problems.append(text)
            case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": found}}:
                self.problems.append(found.get("exception", {}).get("description", found["text"]))
            case {"method": "Runtime.consoleAPICalled", "params": {"type": "error", "args": found}}:
                self.problems.append(str([each.get("value") for each in found]))
        return message

    async def photograph(self, page: Path, width: int, mode: str, picture: Path) -> None:
        """Load a page and write its picture."""
        self.loaded, before = False, len(self.problems)
        window = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        await self.call("Emulation.setDeviceMetricsOverride", **window)
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": mode}])
        await self.call("Page.navigate", url=page.resolve().as_uri())
        while not self.loaded:
            await self.read()
        result = await self.call("Runtime.evaluate", expression=SIZE, returnByValue=True)
        wide, high = result["result"]["value"]
        if wide > width:
            self.problems.append(f"{wide} pixels wide")
        clip = {"x": 0, "y": 0, "width": width, "height": min(high, LONGEST), "scale": 1}
        found = await self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        picture.write_bytes(base64.b64decode(found["data"]))
        self.problems[before:] = [f"{picture.name}: {text}" for text in self.problems[before:]]


async def photograph_all(pages: Sequence[Path], output: Path, browser: str) -> list[str]:
    """Photograph the pages; return the problems."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        own = ["--hide-scrollbars", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
        process = subprocess.Popen([browser, *OPTIONS.split(), *own], stderr=subprocess.DEVNULL)
        try:
            while not (port := Path(profile, "DevToolsActivePort")).exists() or not port.read_text():
                if process.poll() is not None:
                    raise RuntimeError(f"{browser} ended with status {process.returncode} before it opened a page")
                await asyncio.sleep(0.1)
            address = f"http://127.0.0.1:{port.read_text().split()[0]}/json/new?about:blank"
            async with aiohttp.ClientSession() as session, session.put(address) as answer:
                url = (await answer.json())["webSocketDebuggerUrl"]
                async with session.ws_connect(url, max_msg_size=0) as socket:
                    tab = Tab(socket)
                    for domain in ("Page", "Log", "Runtime"):
                        await tab.call(f"{domain}.enable")
                    for page in pages:
                        name = page.relative_to(SITE).with_suffix("").as_posix().replace("/", "-")
                        for width, mode in ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")):
                            await tab.photograph(page, width, mode, output / f"{name}-{width}-{mode}.png")
                    return tab.problems
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="the folder of the pictures")
    parser.add_argument("--pages", default="*", help="a pattern of pages, such as 'guide/*'")
    parser.add_argument("--browser", default="chromium", help="the browser's program")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    every = [page for page in sorted(SITE.rglob("*.html")) if not {"_modules", "_static"} & set(page.parts)]
    chosen = [page for page in every if fnmatch.fnmatch(page.relative_to(SITE).as_posix(), given.pages)]
    found = asyncio.run(photograph_all(chosen, given.output, given.browser))
    print("\n".join(found) or f"no problems in {len(chosen)} pages")
    sys.exit(bool(found))
