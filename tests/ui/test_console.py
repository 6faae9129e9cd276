"""The built console in a real browser, over the data of ui/dev/fixture-server.mjs.

Chromium is driven by the W3C WebDriver protocol, which is a few JSON requests to chromedriver: no library is needed.
"""

import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "packages/gnomon-server/src/gnomon_server/web/static"
LARGE, BROKEN = "f" * 31 + "1", "f" * 31 + "2"
PATIENCE_S = 30
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

_MISSING = [name for name in ("node", "chromium", "chromedriver") if not shutil.which(name)]
pytestmark = [
    pytest.mark.skipif(bool(_MISSING), reason=f"not installed here: {', '.join(_MISSING)} (a browser test)"),
    pytest.mark.skipif(not (STATIC / "index.html").exists(), reason="the console is not built: make ui"),
]


class Browser:
    """One tab of a headless Chromium."""

    def __init__(self, driver: str, profile: Path) -> None:
        self._driver = driver
        options = {"args": [*FLAGS, f"--user-data-dir={profile}"]}
        wanted = {"browserName": "chrome", "goog:loggingPrefs": {"browser": "ALL"}, "goog:chromeOptions": options}
        session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{session['sessionId']}"

    def open(self, url: str, width: int = 1400) -> None:
        """Load a page in a window of `width` CSS pixels."""
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        self._tab("/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": size})
        self._tab("/url", {"url": url})

    def run(self, script: str) -> Any:
        """What the JavaScript function body returns."""
        return self._tab("/execute/sync", {"script": script, "args": []})

    def texts(self, css: str) -> list[str]:
        """The texts of all elements that match."""
        found: list[str] = self.run(f"return [...document.querySelectorAll({css!r})].map((each) => each.innerText)")
        return found

    def click(self, css: str) -> None:
        """Click the first element that matches, once there is one."""
        self.wait(lambda: self.run(f"return document.querySelector({css!r}) !== null"), f"{css} is there")
        element = self._tab("/element", {"using": "css selector", "value": css})
        self._tab(f"/element/{next(iter(element.values()))}/click", {})

    def press(self, keys: str, *, chord: bool = False) -> None:
        """Press and release each key, wherever the focus is; in a chord all are down before one goes up."""
        if chord:
            strokes = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp") for key in keys]
        else:
            strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._tab("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]})

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        """The condition's first true value."""
        deadline = time.monotonic() + PATIENCE_S
        while not (value := condition()):
            assert time.monotonic() < deadline, f"waited for: {what}\n{self.run('return document.body.innerText')}"
            time.sleep(0.05)
        return value

    def wait_for(self, css: str, text: str = "") -> list[str]:
        """The texts of the matching elements, once one holds `text`."""

        def found() -> list[str]:
            texts = self.texts(css)
            return texts if any(text in each for each in texts) else []

        texts: list[str] = self.wait(found, f"{text!r} in {css}")
        return texts

    def complaints(self) -> list[str]:
        """Errors in the browser's own log since last asked: scripts, refused loads, policy violations."""
        return [each["message"] for each in self._tab("/se/log", {"type": "browser"}) if each["level"] == "SEVERE"]

    def close(self) -> None:
        """End the browser."""
        self._call("DELETE", self._session)

    def _tab(self, path: str, body: dict[str, Any]) -> Any:
        return self._call("POST", self._session + path, body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._driver + path, data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]


@contextmanager
def program(command: list[str], ready: str) -> Iterator[str]:
    """A running program, and what the first group of `ready` matched in what it said."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout
    try:
        said = ""
        while not (match := re.search(ready, said)):
            line = process.stdout.readline()
            assert line, f"{command[0]} ended without being ready: {said}"
            said += line
        yield match[1]
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.fixture(scope="module")
def chromedriver() -> Iterator[str]:
    """Its address."""
    with program(["chromedriver", "--port=0"], r"successfully on port (\d+)") as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    """The address of a console over the fixture's data."""
    with program(["node", "ui/dev/fixture-server.mjs", "--port", "0"], r"(http://[\d.:]+)/") as address:
        yield address


@pytest.fixture
def browser(chromedriver: str, tmp_path: Path) -> Iterator[Browser]:
    """A fresh profile, so that no test sees another one's storage."""
    browser = Browser(chromedriver, tmp_path / "profile")
    try:
        yield browser
    finally:
        browser.close()


def test_services_show_and_lead_to_their_page(browser: Browser, shop: str) -> None:
    """The first page lists the services with figures and trends; a click shows one's charts, traces and logs."""
    browser.open(shop)
    rows = browser.wait_for(".services tbody tr", "payment")
    assert len(rows) == 8
    assert all(re.search(r"[\d.]+ m?s", row) for row in rows)
    browser.wait(lambda: browser.run("return document.querySelectorAll('.spark polyline').length >= 8"), "trends")
    browser.click("tr a[href='/services/payment']")
    browser.wait_for(".traces li", "POST /checkout")
    browser.wait_for(".logs li", "payment")
    assert len(browser.texts(".chart svg")) == 3
    assert browser.complaints() == []


def test_a_trace_shows_why_it_failed(browser: Browser, shop: str) -> None:
    """From the list of failed traces by two clicks to the exception's stack; the address leads there again."""
    browser.open(f"{shop}/traces?status=error")
    browser.click(".traces a")
    browser.wait_for(".row.bad", "POST bank/charges")
    index = next(i for i, row in enumerate(browser.texts(".row")) if "POST bank/charges" in row)
    browser.click(f".row:nth-child({index + 1}) .names")
    assert "charge.py" in browser.wait_for(".exception pre")[0]
    assert any("int" in each for each in browser.texts(".panel .fields .type"))
    address = browser.run("return location.href")
    assert "span=" in address
    browser.open(address)
    assert "charge.py" in browser.wait_for(".exception pre")[0]
    assert browser.complaints() == []


def test_the_waterfall_folds_and_follows_keys(browser: Browser, shop: str) -> None:
    """Arrow keys walk the spans; left folds what is below, right brings it back."""
    browser.open(f"{shop}/traces/{BROKEN}?span=a1")
    before = len(browser.wait_for(".row", "GET /"))
    browser.run("document.querySelector('.rows').focus()")
    browser.press("\ue012")  # left
    browser.wait_for(".row .folded", "+3")
    assert len(browser.texts(".row")) == before - 3
    browser.press("\ue014")  # right
    browser.wait(lambda: len(browser.texts(".row")) == before, "unfolded")
    browser.press("\ue015")  # down
    browser.wait_for(".panel h2", "clock is behind")


def test_a_broken_trace_shows_whole(browser: Browser, shop: str) -> None:
    """Orphans, rings, equal ids and clocks that disagree are shown and said, not hidden."""
    browser.open(f"{shop}/traces/{BROKEN}")
    rows = browser.wait_for(".row", "parent never came")
    assert len(rows) == 9
    assert sum("orphan" in row for row in rows) == 4
    assert sum("clock" in row.splitlines() for row in rows) == 1


def test_ten_thousand_spans_are_few_elements(browser: Browser, shop: str) -> None:
    """Only rows in sight are drawn, and the last one can be reached."""
    browser.open(f"{shop}/traces/{LARGE}")
    browser.wait_for(".row", "nightly import")
    assert len(browser.texts(".row")) < 100
    browser.run("document.querySelector('.rows').scrollTop = 1e9")
    browser.wait(lambda: "nightly import" not in " ".join(browser.texts(".row")), "scrolled")
    assert browser.run("const r = document.querySelector('.rows'); return r.scrollHeight") == 260_000


def test_logs_filter_unfold_and_lead_to_their_trace(browser: Browser, shop: str) -> None:
    """Severity and text are asked of the server and stand in the address; a row unfolds; its link is its trace."""
    browser.open(f"{shop}/logs?range=1h")
    browser.click(".severities .s-error")
    rows = browser.wait(
        lambda: rows if (rows := browser.texts(".logs .severity")) and set(rows) == {"error"} else None, "errors only"
    )
    assert rows
    browser.press("/declined")
    browser.wait(lambda: "q=declined" in browser.run("return location.search"), "the text in the address")
    browser.wait_for("mark", "declined")
    browser.click(".logs .caret")
    browser.wait_for(".logs .details dt", "order.id")
    browser.click(".logs .to-trace")
    browser.wait_for(".panel h2", "POST bank/charges")


def test_keys_lead_everywhere(browser: Browser, shop: str) -> None:
    """`g t`, `g l`, `g s` change the page and keep the window; `?` and Esc open and close the help."""
    browser.open(f"{shop}/?range=6h")
    browser.wait_for(".services")
    for keys, page in [("gt", "/traces"), ("gl", "/logs"), ("gs", "/services")]:
        browser.press(keys)
        browser.wait(lambda page=page: browser.run("return location.pathname") == page, page)
        assert browser.run("return location.search") == "?range=6h"
    browser.press("?")
    browser.wait_for("dialog", "Keyboard")
    browser.press("\ue00c")
    browser.wait(lambda: not browser.texts("dialog"), "help closed")


def test_pausing_gives_an_address_that_stays(browser: Browser, shop: str) -> None:
    """Paused, the window's bounds are in the address and the list stands still; live again, they are gone."""
    browser.open(f"{shop}/traces")
    browser.wait_for(".traces li")
    browser.press("p")
    browser.wait_for(".live", "Paused")
    assert re.search(r"from=[\d.]+&to=[\d.]+", browser.run("return location.search"))
    browser.press("p")
    browser.wait_for(".live", "Live")
    assert browser.run("return location.search") == ""


def test_sql_runs_and_underlines(browser: Browser, shop: str) -> None:
    """A query's rows show; a refused one shows the letter and the spot."""
    browser.open(f"{shop}/sql")
    browser.click(".editor textarea")
    browser.press("\ue009\ue007", chord=True)  # Ctrl-Enter
    browser.wait_for(".result td", "payment")
    browser.open(f"{shop}/sql?q=SELECT%20*%0AFROM%20system.tables")
    browser.click(".editor .primary")
    browser.wait_for(".letter", "table_not_allowed")
    assert browser.texts(".spot") == ["FROM system.tables\n     ^"]


def test_without_data_it_says_how_to_send(browser: Browser) -> None:
    """An empty server shows the two lines to set, and asks first for the token it wants."""
    command = ["node", "ui/dev/fixture-server.mjs", "--port", "0", "--empty", "--token", "secret"]
    with program(command, r"(http://[\d.:]+)/") as address:
        browser.open(address)
        browser.wait_for("dialog", "Token")
        browser.wait_for(".letter", "token_missing")
        browser.press("secret\ue007")
        lines = browser.wait_for(".empty pre", "OTEL_EXPORTER_OTLP_ENDPOINT")[0]
        assert "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf" in lines
        assert browser.run("return sessionStorage.getItem('gnomon.token')") == "secret"
        assert browser.run("return localStorage.getItem('gnomon.token')") is None


@pytest.mark.parametrize("path", ["/", "/services/payment", "/traces", f"/traces/{BROKEN}", "/logs", "/sql"])
def test_a_telephone_is_wide_enough(browser: Browser, shop: str, path: str) -> None:
    """At 360 pixels nothing sticks out to the right."""
    browser.open(shop + path, width=360)
    browser.wait_for("main h1")
    browser.wait(lambda: browser.run("return !document.querySelector('.waiting')"), "data")
    assert browser.run("return document.documentElement.scrollWidth") <= 360
