"""Firefox, driven by WebDriver BiDi, which it speaks itself: no driver besides the browser."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.wait import PATIENCE, until

NAMES = ("firefox-esr", "firefox")
#: What a fresh profile would ask third parties for, and what the window would say.
PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.auto": False,
    "browser.region.network.url": "",
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "toolkit.telemetry.enabled": False,
    # All that is not on this machine is asked of a proxy where nobody listens.
    "network.proxy.type": 1,
    "network.proxy.socks": "127.0.0.1",
    "network.proxy.socks_port": 9,
    "network.proxy.socks_remote_dns": True,
}


class Firefox:
    """A headless Firefox with one page; a context manager.

    `problems` holds errors of the page's console, `requests` the addresses that it asked for.
    """

    def __init__(self) -> None:
        """Find the browser; raises `FileNotFoundError` where there is none."""
        found = next(filter(None, map(shutil.which, NAMES)), None)
        if found is None:
            raise FileNotFoundError("no Firefox on this machine")
        self.command = found
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._ids = itertools.count(1)

    def __enter__(self) -> Firefox:
        from websocket import create_connection

        self._profile = Path(tempfile.mkdtemp(prefix="initlab-firefox-"))
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in PREFERENCES.items()]
        (self._profile / "user.js").write_text("\n".join(lines), encoding="utf8")
        command = [self.command, "--headless", "--no-remote", "--remote-debugging-port", "0"]
        # Into a file: a pipe that nobody reads would stop the browser once it is full.
        with (self._profile / "log").open("w") as log:
            self._process = subprocess.Popen(
                [*command, "--profile", str(self._profile), "about:blank"],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"HOME": str(self._profile)},
            )
        try:
            address = f"{self._address()}/session"
            self._socket = create_connection(address, timeout=PATIENCE, suppress_origin=True)
            self.ask("session.new", capabilities={})
            self.ask("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
            [top] = self.ask("browsingContext.getTree")["contexts"]
        except BaseException:
            self.__exit__()
            raise
        self._context = top["context"]
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
        shutil.rmtree(self._profile, ignore_errors=True)

    def _address(self) -> str:
        def said() -> str:
            return (self._profile / "log").read_text(encoding="utf8", errors="replace")

        def listens() -> str | None:
            if self._process.poll() is not None:
                raise RuntimeError(f"Firefox has ended: {said()[-2000:]}")
            found = re.search(r"WebDriver BiDi listening on (ws://\S+)", said())
            return found and found[1]

        return until(listens, "Firefox does not listen")

    def ask(self, method: str, **parameters: Any) -> Any:
        """Give a command of WebDriver BiDi and wait for its result."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            said = json.loads(self._socket.recv())
            if said.get("id") == number:
                if said["type"] == "error":
                    raise RuntimeError(f"{method}: {said['error']}: {said['message']}")
                return said["result"]
            self._hear(said)

    def _hear(self, event: dict) -> None:
        parameters = event.get("params", {})
        if event.get("method") == "log.entryAdded" and parameters["level"] == "error":
            self.problems.append(str(parameters["text"]))
        if event.get("method") == "network.beforeRequestSent":
            self.requests.append(parameters["request"]["url"])

    def goto(self, url: str) -> None:
        """Open a page and wait until it has loaded."""
        self.ask("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def size(self, width: int, height: int) -> None:
        """Give the page's window that size, in CSS pixels."""
        viewport = {"width": width, "height": height}
        self.ask("browsingContext.setViewport", context=self._context, viewport=viewport)

    def evaluate(self, expression: str) -> Any:
        """What a JavaScript expression gives, as it survives JSON; a promise is waited for."""
        result = self.ask(
            "script.callFunction",
            functionDeclaration=f"async () => JSON.stringify(await ({expression})) ?? 'null'",
            awaitPromise=True,
            target={"context": self._context},
        )
        if result["type"] == "exception":
            raise RuntimeError(result["exceptionDetails"]["text"])
        return json.loads(result["result"]["value"])

    def until(self, expression: str) -> Any:
        """Wait for an expression to become truthy."""
        return until(lambda: self.evaluate(expression), expression)

    def screenshot(self, path: Path) -> None:
        """Save what the window shows."""
        got = self.ask("browsingContext.captureScreenshot", context=self._context)
        path.write_bytes(base64.b64decode(got["data"]))
