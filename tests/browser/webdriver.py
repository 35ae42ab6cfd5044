"""A headless Chromium, driven by the WebDriver protocol (https://www.w3.org/TR/webdriver2/) over plain HTTP."""

import base64
import json
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from servers.processes import running

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--lang=en",
)
ANSWER_SECONDS = 60


class Browser:
    """One session."""

    def __init__(self, driver: str, session: str) -> None:
        self._url = f"{driver}/session/{session}"

    def open(self, url: str) -> None:
        """Go there, and wait until it is loaded."""
        _call("POST", f"{self._url}/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """What the script returns."""
        body = {"script": script, "args": list(arguments)}
        return _call("POST", f"{self._url}/execute/sync", body)

    def texts(self, selector: str) -> list[str]:
        """What is to be read in each element that matches and is shown."""
        return self.run(
            "return [...document.querySelectorAll(arguments[0])]"
            ".filter(each => each.offsetParent !== null).map(each => each.innerText)",
            selector,
        )

    def complaints(self) -> list[str]:
        """What the console has said since it was last asked."""
        return [
            entry["message"] for entry in _call("POST", f"{self._url}/se/log", {"type": "browser"})
        ]

    def prefer(self, scheme: str) -> None:
        """``light`` or ``dark``."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._devtools("Emulation.setEmulatedMedia", features=features)

    def resize(self, width: int, height: int) -> None:
        """The window's inside, in CSS pixels."""
        self._devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def picture(self) -> bytes:
        """What the window shows, as a PNG."""
        found = self._devtools("Page.captureScreenshot", format="png")
        return base64.b64decode(found["data"])

    def close(self) -> None:
        _call("DELETE", self._url)

    def _devtools(self, command: str, **parameters: Any) -> Any:
        body = {"cmd": command, "params": parameters}
        return _call("POST", f"{self._url}/goog/cdp/execute", body)


@contextmanager
def chromium(directory: Path) -> Iterator[Browser]:
    """A browser with a profile of its own below ``directory``, for the length of the block."""
    driver = shutil.which("chromedriver")
    assert driver, "no chromedriver: make test-browser says which package has it"
    ready = r"was started successfully on port (\d+)"
    with running([driver, "--port=0"], directory / "chromedriver.log", ready) as match:
        url = f"http://127.0.0.1:{match[1]}"
        options = {"args": [*ARGUMENTS, f"--user-data-dir={directory / 'profile'}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        made = _call("POST", f"{url}/session", {"capabilities": {"alwaysMatch": wanted}})
        browser = Browser(url, made["sessionId"])
        try:
            yield browser
        finally:
            browser.close()


def _call(method: str, url: str, body: Any = None) -> Any:
    data = None if method == "DELETE" else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method)
    request.add_header("Content-Type", "application/json")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=ANSWER_SECONDS) as answer:
        return json.load(answer)["value"]
