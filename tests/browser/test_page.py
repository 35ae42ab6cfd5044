"""What a person behind a port-forward sees, in a real Chromium."""

import os

import pytest
from serving import Served
from waiting import eventually
from webdriver import chromium

from lighterman.connections.model import Connection, HostPath
from lighterman.stores import open_store
from lighterman.transfer.settings import TransferSettings

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=\"document.title='taken'\">.bin"
READABLE = 4.5
"""WCAG 2.2, 1.4.3: the least contrast of text (AA)."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def served(tmp_path):
    """A sidecar that sends to a directory, stopped at the end unless the test did."""
    (tmp_path / "place").mkdir()
    schema = HostPath(host_path=str(tmp_path), mount_path=str(tmp_path / "place"))
    connection = Connection(name="volume", kind="host_path", schema=schema)
    store = open_store(connection, {}, TransferSettings(), concurrency=8)
    served = Served(tmp_path, store)
    eventually(lambda: served.ask("/readyz").status == 200)
    yield served
    served.stop()
    store.close()


@pytest.fixture
def page(browser, served):
    """The browser, looking at the sidecar's page; it must have nothing to complain about."""
    browser.resize(1100, 900)
    browser.prefer("light")
    browser.open(served.url)
    eventually(lambda: browser.texts("#word") == ["ready"])
    yield browser
    assert browser.complaints() == []


def rows(page, table):
    return page.texts(f"[data-is={table}] tbody tr")


def tile(page, name):
    return page.texts(f"[data-is={name}]")[0]


def test_what_is_synced_is_seen_as_it_happens(page, served):
    """Live: nobody reloads."""
    served.write("model/weights.bin", b"x" * 3_000_000)
    eventually(lambda: rows(page, "recent-table"))
    assert "model/weights.bin" in rows(page, "recent-table")[0]
    eventually(lambda: tile(page, "synced") == "1 file")
    assert tile(page, "synced-more") == "1 sent, 2.9 MiB"
    assert tile(page, "backlog") == "nothing"
    assert page.texts("[data-is=path]") == [str(served.root)]
    assert page.texts("[data-is=place]") == ["volume, out/"]


def test_what_waits_and_what_failed_is_seen_with_its_reason(page, served):
    """Each with what helps."""
    served.write("later.tmp", b"x" * 2048)
    with open(os.fsencode(served.root) + b"/\xff.bin", "wb"):
        pass
    eventually(lambda: len(rows(page, "waiting-table")) == 2)
    waiting = "\n".join(rows(page, "waiting-table"))
    assert "later.tmp\ttemporary name: waits for the drain" in waiting
    assert "\\xff.bin\tfailed: is tried again" in waiting
    assert tile(page, "backlog") == "2 files"
    assert tile(page, "backlog-more") == "2.0 KiB"
    failed = rows(page, "failed-table")
    assert "keys are UTF-8" in failed[0]
    assert "--exclude" in failed[0]
    assert tile(page, "failed") == "1 file"
    assert "cannot_write" in tile(page, "failed-more")
    os.unlink(os.fsencode(served.root) + b"/\xff.bin")
    eventually(lambda: not rows(page, "failed-table"))


def test_a_hostile_name_is_text(page, served):
    """What stands in a path is never markup."""
    served.write(HOSTILE.replace("/", ""))
    eventually(lambda: rows(page, "recent-table"))
    assert HOSTILE in rows(page, "recent-table")[0]
    assert page.run("return document.images.length") == 0
    assert page.run("return document.title") == "Lighterman"


def test_throughput_and_backlog_are_drawn_over_time(page, served):
    """The lines follow what is sent and what waits; the pointer reads them."""
    points = "return document.querySelector(arguments[0]).getAttribute('points')"
    eventually(lambda: page.run("return document.querySelector('.sent-line') !== null"))
    before = page.run(points, ".sent-line")
    served.write("a.tmp", b"x" * 10_000)
    served.write("b", b"x" * 1_000_000)
    eventually(lambda: "1 file" in tile(page, "backlog"))
    assert page.run(points, ".sent-line") != before
    heights = [float(point.split(",")[1]) for point in page.run(points, ".backlog-line").split()]
    assert min(heights) < max(heights)
    page.run(
        "const plot = document.querySelector('svg'), at = plot.getBoundingClientRect();"
        "plot.dispatchEvent(new PointerEvent('pointermove',"
        " {clientX: at.right - 1, clientY: at.top + 9}))"
    )
    eventually(lambda: "backlog 9.8 KiB" in page.texts("[data-is=at]")[0])


def test_a_sidecar_that_is_gone_is_said(browser, served):
    """What is shown then is old, and says how old."""
    browser.open(served.url)
    eventually(lambda: browser.texts("#word") == ["ready"])
    served.server.close()
    eventually(lambda: browser.texts("#word")[0].startswith("no answer for"))
    browser.complaints()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_in_light_and_dark(page, served, scheme):
    """Every text has the contrast that WCAG asks for."""
    served.write("later.tmp")
    page.prefer(scheme)
    eventually(lambda: rows(page, "waiting-table"))
    told = page.run(
        """
        const ground = (each) => {
          for (; each; each = each.parentElement) {
            const colour = getComputedStyle(each).backgroundColor;
            if (colour !== "rgba(0, 0, 0, 0)") return colour;
          }
          return "rgb(255, 255, 255)";
        };
        return [...document.querySelectorAll("body *")]
          .filter((each) => each.offsetParent !== null && each.innerText && !each.children.length)
          .map((each) => [each.innerText, getComputedStyle(each).color, ground(each)]);
        """
    )
    assert len(told) > 20
    dim = [each for each in told if contrast(*each[1:]) < READABLE]
    assert dim == []
    grounds = {ground for _, _, ground in told}
    assert all((luminance(ground) < 0.1) == (scheme == "dark") for ground in grounds)


@pytest.mark.parametrize("width", [360, 1600])
def test_it_fits_narrow_and_wide_windows(page, served, width):
    """Nothing is cut off at the side, however long a path is."""
    served.write("/".join(["directory-with-a-rather-long-name"] * 6).lstrip("/") + "/a.tmp")
    page.resize(width, 800)
    eventually(lambda: rows(page, "waiting-table"))
    assert page.run("return document.documentElement.scrollWidth") <= width


def test_nothing_comes_from_elsewhere(page, served):
    """One page, and what it asks its own server for."""
    names = page.run("return performance.getEntriesByType('resource').map(each => each.name)")
    assert names
    assert all(name.startswith((served.url, "data:")) for name in names)
    refused = page.run(
        "const made = document.createElement('script'); made.textContent = 'window.taken = 1';"
        "document.body.append(made); return window.taken === undefined"
    )
    assert refused
    assert any("Content Security Policy" in each for each in page.complaints())


def luminance(colour):
    """Relative luminance of ``rgb(r, g, b)``, by WCAG's formula."""
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    lighter, darker = sorted([luminance(one), luminance(other)], reverse=True)
    return (lighter + 0.05) / (darker + 0.05)
