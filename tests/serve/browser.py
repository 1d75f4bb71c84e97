"""A page in headless Chromium, driven over its DevTools protocol."""

import base64
import json
import shutil
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """A headless Chromium with one page.

    Args:
        folder: An empty folder for its profile.
    """

    def __init__(self, folder):
        from websockets.sync.client import connect

        options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
        network = ("--disable-background-networking", "--disable-component-update", "--disable-sync")
        port = ("--remote-debugging-port=0", f"--user-data-dir={folder}")
        self._process = subprocess.Popen(
            [CHROMIUM, *options, *network, *port, "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._stack = ExitStack()
        self._stack.callback(self._stop)
        try:
            self._socket = self._stack.enter_context(connect(self._address(folder), max_size=None))
            self._open_page()
        except BaseException:
            self.close()
            raise

    def _address(self, folder):
        file = Path(folder) / "DevToolsActivePort"
        end = time.monotonic() + 60
        while not file.exists() or file.read_text().count("\n") < 1:
            assert time.monotonic() < end, "Chromium does not start"
            time.sleep(0.05)
        number, path = file.read_text().split("\n")[:2]
        return f"ws://127.0.0.1:{number}{path}"

    def _open_page(self):
        self._last, self._session, self.events = 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            self.call(f"{domain}.enable")

    def call(self, method, **arguments):
        """Run a command and return its result; events that arrive meanwhile are kept."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": arguments}
        if self._session is not None:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            found = json.loads(self._socket.recv(timeout=60))
            if found.get("id") == self._last:
                assert "error" not in found, found
                return found["result"]
            if "method" in found:
                self.events.append(found)

    def evaluate(self, code):
        """Return the value of a JavaScript expression."""
        found = self.call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, code):
        """Wait until an expression is true."""
        end = time.monotonic() + 30
        while not self.evaluate(f"Boolean({code})"):
            assert time.monotonic() < end, f"{code} stays false:\n{self.evaluate('document.body.innerText')}"
            time.sleep(0.02)

    def open(self, url):
        """Open a page and wait for its form."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.wait(f"location.href === {json.dumps(url)} && document.querySelector('textarea, #error:not(:empty)')")

    def type(self, text):
        """Insert text where the focus is."""
        self.call("Input.insertText", text=text)

    def press(self, key, modifiers=0):
        """Press a key; ``modifiers`` is 2 for Ctrl."""
        codes = {"Tab": 9, "Enter": 13, " ": 32}
        options = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": codes[key]}
        text = {} if modifiers else {"Enter": {"text": "\r"}, " ": {"text": " "}}.get(key, {})
        self.call("Input.dispatchKeyEvent", type="keyDown", modifiers=modifiers, **options, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", modifiers=modifiers, **options)

    def dark(self, on=True):
        """Switch to dark mode, or back."""
        value = "dark" if on else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])

    def resize(self, width, height):
        """Set the size of the page."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def names(self, role):
        """Return the accessible names of all elements of a role."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [
            node.get("name", {}).get("value", "")
            for node in nodes
            if not node["ignored"] and node["role"]["value"] == role
        ]

    def requested(self):
        """Return the URLs of all requests since the page was opened."""
        sent = [event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [each["request"]["url"] for each in sent]

    def complaints(self):
        """Return errors of the page's code and breaches of its security policy."""
        found = [event for event in self.events if event["method"] == "Runtime.exceptionThrown"]
        logged = [event["params"]["entry"] for event in self.events if event["method"] == "Log.entryAdded"]
        return found + [entry for entry in logged if entry["level"] == "error" and entry["source"] != "network"]

    def screenshot(self, path):
        """Write a PNG of the whole page."""
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        Path(path).write_bytes(base64.b64decode(picture))

    def close(self):
        self._stack.close()

    def _stop(self):
        self._process.terminate()
        self._process.wait(10)
