"""Photograph every page of the built site, wide and narrow, light and dark; fail on errors in a browser's console.

    python -m sphinx -b html docs docs/_build
    python docs/screenshots.py OUTPUT [--pages 'guide/*'] [--browser chromium]

It writes ``PAGE-1280-light.png`` and so on into the folder OUTPUT. Chromium is driven by its DevTools protocol. A page
that is wider than the window is reported, too: a phone would have to scroll sideways.
"""

import argparse
import asyncio
import base64
import fnmatch
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp

SITE = Path(__file__).parent / "_build"
QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]
WIDTH = "document.documentElement.scrollWidth"
HEIGHT = "Math.max(document.body.scrollHeight, document.documentElement.scrollHeight)"
LONGEST = 6000  # pixels of a picture


class Browser:
    """One tab of a browser; `problems` collects what its console says."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket, self.number, self.problems, self.loaded = socket, 0, [], False

    async def call(self, method: str, **values: Any) -> dict[str, Any]:
        """Send a command and return its result; events that come first are noted."""
        self.number += 1
        await self.socket.send_json({"id": self.number, "method": method, "params": values})
        while (answer := await self.event()).get("id") != self.number:
            pass
        return answer["result"]

    async def event(self) -> dict[str, Any]:
        """Read one message."""
        message = await self.socket.receive_json()
        match message.get("method"), message.get("params"):
            case "Log.entryAdded", {"entry": {"level": "error" | "warning", "text": text}}:
                self.problems.append(text)
            case "Runtime.exceptionThrown", {"exceptionDetails": details}:
                self.problems.append(details.get("exception", {}).get("description", details["text"]))
            case "Runtime.consoleAPICalled", {"type": "error", "args": args}:
                self.problems.append(str([each.get("value") for each in args]))
            case "Page.loadEventFired", _:
                self.loaded = True
        return message

    async def photograph(self, page: Path, width: int, mode: str, picture: Path) -> None:
        """Load a page and write its picture."""
        self.loaded, number = False, len(self.problems)
        phone = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        await self.call("Emulation.setDeviceMetricsOverride", **phone)
        media = [{"name": "prefers-color-scheme", "value": mode}]
        await self.call("Emulation.setEmulatedMedia", features=media)
        await self.call("Page.navigate", url=page.resolve().as_uri())
        while not self.loaded:
            await self.event()
        await asyncio.sleep(0.2)
        found = await self.call("Runtime.evaluate", expression=f"[{WIDTH}, {HEIGHT}]", returnByValue=True)
        wide, high = found["result"]["value"]
        if wide > width:
            self.problems.append(f"is {wide} pixels wide in a window of {width}")
        clip = {"x": 0, "y": 0, "width": width, "height": min(high, LONGEST), "scale": 1}
        data = (await self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True))["data"]
        picture.write_bytes(base64.b64decode(data))
        self.problems[number:] = [f"{picture.name}: {text}" for text in self.problems[number:]]


async def photograph_all(pages: Iterator[Path], output: Path, browser: str) -> list[str]:
    """Photograph the pages; return the problems."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [browser, "--headless", "--no-sandbox", *QUIET, "--hide-scrollbars", "--remote-debugging-port=0"]
        process = subprocess.Popen([*command, f"--user-data-dir={profile}"], stderr=subprocess.DEVNULL)
        try:
            while not (port := Path(profile, "DevToolsActivePort")).exists():
                await asyncio.sleep(0.1)
            host = f"http://127.0.0.1:{port.read_text().split()[0]}"
            async with aiohttp.ClientSession() as session:
                tab = await (await session.put(f"{host}/json/new?about:blank")).json()
                async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    window = Browser(socket)
                    for domain in ("Page", "Log", "Runtime"):
                        await window.call(f"{domain}.enable")
                    for page in pages:
                        name = page.relative_to(SITE).with_suffix("").as_posix().replace("/", "-")
                        for width in (1280, 390):
                            for mode in ("light", "dark"):
                                await window.photograph(page, width, mode, output / f"{name}-{width}-{mode}.png")
                    return window.problems
        finally:
            process.terminate()
            process.wait()


def main() -> int:
    """Read the command line; return 1 if there are problems."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="the folder of the pictures")
    parser.add_argument("--pages", default="*", help="a pattern of pages, such as 'guide/*'")
    parser.add_argument("--browser", default="chromium", help="the browser's program")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    pages = (page for page in sorted(SITE.rglob("*.html")) if "_modules" not in page.parts)
    chosen = (page for page in pages if fnmatch.fnmatch(page.relative_to(SITE).as_posix(), given.pages))
    problems = asyncio.run(photograph_all(chosen, given.output, given.browser))
    print("\n".join(dict.fromkeys(problems)) or "no problems")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
