"""Headless Chromium over its DevTools pipe: no driver, no port, no dependency.

Chromium reads commands from file descriptor 3 and writes answers to 4, JSON texts that end in a zero byte
(chromedevtools.github.io/devtools-protocol, `--remote-debugging-pipe`).
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)


class Browser:
    """One Chromium with one tab."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._session: str | None = None
        #: Every console message, exception, Content-Security-Policy complaint and request since the page was opened.
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.dialogs: list[str] = []

    def start(self) -> None:
        """Attach to a fresh tab and listen to everything it says."""
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(f"{domain}.enable")

    def command(self, method: str, timeout: float = 30.0, **params: object) -> Any:
        """Send one command and wait for its result; events that come meanwhile are kept."""
        number = next(self._numbers)
        message: dict[str, object] = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self._event(answer)

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._back], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError("Chromium does not answer")
            data = os.read(self._back, 1 << 20)
            if not data:
                raise RuntimeError("Chromium is gone")
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(text)
        return answer

    def _event(self, event: dict[str, Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Runtime.consoleAPICalled":
            self.complaints.append(f"console: {params['args']}")
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(f"exception: {params['exceptionDetails']}")
        elif method == "Log.entryAdded":
            self.complaints.append(f"log: {params['entry']['text']}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Page.javascriptDialogOpening":
            self.dialogs.append(params["message"])
            os.write(
                self._to,
                json.dumps(
                    {
                        "id": 0,
                        "sessionId": self._session,
                        "method": "Page.handleJavaScriptDialog",
                        "params": {"accept": True},
                    }
                ).encode()
                + b"\0",
            )
        elif method == "Page.loadEventFired":
            self._loaded = True

    def look(self, *, width: int = 1280, height: int = 800, dark: bool = False, media: str = "") -> None:
        """Size of the window in CSS pixels, colour scheme, medium (``print``)."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def open(self, page: Path, *, wait: bool = True) -> float:
        """Load a file; seconds until it was loaded and drawn (``wait`` False: loaded). Forgets what earlier pages said."""
        self.complaints.clear()
        self.requests.clear()
        self.dialogs.clear()
        self._loaded = False
        begun = time.monotonic()
        self.command("Page.navigate", url=page.resolve().as_uri())
        while not self._loaded:
            self._event(self._receive(begun + 30))
        if wait:
            self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return time.monotonic() - begun

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        result = self.command("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(str(result["exceptionDetails"]))
        return result["result"].get("value")

    def screenshot(self, *, whole: bool = False) -> bytes:
        """PNG of the window, or of the whole page."""
        return base64.b64decode(self.command("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def pdf(self) -> bytes:
        """The page as it prints on A4."""
        return base64.b64decode(self.command("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"])


@contextmanager
def chromium_tab(path: str, profile: Path) -> Iterator[Browser]:
    """A running Chromium with its own profile folder; it is gone afterwards, whatever happened."""
    read_commands, send = os.pipe()
    receive, write_answers = os.pipe()

    def place() -> None:
        # Above 4 first, so that neither copy overwrites what the other still needs.
        high_in, high_out = os.dup(read_commands), os.dup(write_answers)
        os.dup2(high_in, 3)
        os.dup2(high_out, 4)

    environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    process = subprocess.Popen(
        [path, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        close_fds=False,
        preexec_fn=place,  # noqa: PLW1509 - no threads here, and the pipe's numbers are fixed
        env=environment,
    )
    os.close(read_commands)
    os.close(write_answers)
    try:
        browser = Browser(send, receive)
        browser.start()
        yield browser
    finally:
        with suppress(Exception):
            browser.command("Browser.close", timeout=5)
        with suppress(OSError):
            os.close(send)
        with suppress(OSError):
            os.close(receive)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
