"""What operators see, asked of a real sidecar over a real place."""

import gc
import os
import socket
import threading

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse
from servers.faults import Call, is_put, slow_down
from serving import Served
from waiting import eventually

from lighterman.secret import Secret
from lighterman.stores import open_store
from lighterman.transfer.settings import TransferSettings
from sidecar.status.described import PATIENCE_SECONDS

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
def served(tmp_path, volume_store):
    """A sidecar that sends to a directory, and has reconciled."""
    served = Served(tmp_path, volume_store)
    eventually(lambda: served.ask("/readyz").status == 200)
    yield served
    assert served.stop() == []


@pytest.fixture
def over_proxy(tmp_path, s3_bucket, proxy_to):
    """A sidecar that sends to a bucket by a proxy, and the proxy."""
    proxy = proxy_to(s3_bucket.endpoint)
    connection = s3_bucket._replace(endpoint=proxy.url).connection()
    store = open_store(connection, {}, TransferSettings(stall_seconds=5.0), concurrency=8)
    served = Served(tmp_path, store)
    eventually(lambda: served.ask("/readyz").status == 200)
    yield served, proxy
    proxy.forget()
    assert served.stop() == []
    store.close()


def metrics(served, accept=""):
    """Every sample by its name and its own labels."""
    answer = served.ask("/metrics", Accept=accept)
    assert answer.status == 200
    parser = parse_openmetrics if accept == OPENMETRICS else parse
    found = {}
    for family in parser(answer.text):
        for sample in family.samples:
            own = tuple(
                value
                for name, value in sample.labels.items()
                if name not in {"path", "connection", "prefix"}
            )
            found[(sample.name, *own)] = sample.value
    return found


def test_alive_and_ready_after_the_first_reconcile(served):
    """``/healthz`` says that the deciding loop turns, ``/readyz`` that the first reconcile is done."""
    assert (200, "ok\n") == served.ask("/healthz")[::2]
    assert (200, "ok\n") == served.ask("/readyz")[::2]


@pytest.mark.parametrize("accept", ["", "text/plain;version=0.0.4", OPENMETRICS])
def test_metrics_are_what_prometheus_reads(served, accept):
    """Names and units by its conventions, in the form that is asked for."""
    served.write("a", b"x" * 1000)
    expected = {
        ("lighterman_sent_files_total",): 1,
        ("lighterman_sent_bytes_total",): 1000,
        ("lighterman_synced_files",): 1,
        ("lighterman_backlog_files",): 0,
        ("lighterman_backlog_bytes",): 0,
    }
    eventually(lambda: expected.items() <= metrics(served, accept).items())
    found = metrics(served, accept)
    assert found["lighterman_rate_bytes_per_second",] > 0
    assert found["lighterman_reconciles_total",] >= 1
    assert found["lighterman_ready",] == 1
    assert found["lighterman_waiting_files", "open"] == 0
    assert found["process_resident_memory_bytes",] > 0
    for name, *_ in found:
        assert name.startswith(("lighterman_", "process_"))


def test_what_waits_is_told_with_the_reason(served):
    """Open for writing, a temporary name; nothing of that is behind."""
    served.write("b.tmp")
    with (served.root / "open.bin").open("wb") as file:
        file.write(b"x" * 500)
        file.flush()
        eventually(lambda: len(served.told()["waiting"]) == 2)
        told = served.told()
        assert {each["path"]: each["why"] for each in told["waiting"]} == {
            "b.tmp": "temporary",
            "open.bin": "open",
        }
        assert (told["backlog"]["files"], told["backlog"]["bytes"]) == (2, 501)
        assert told["backlog"]["behind_seconds"] == 0
        assert metrics(served)["lighterman_waiting_files", "temporary"] == 1
    eventually(lambda: len(served.told()["waiting"]) == 1)
    assert [each["path"] for each in served.told()["recent"]] == ["open.bin"]


def test_what_failed_is_told_with_its_hint(served):
    """Until it is mended; failures are counted by kind."""
    name = b"\xff.bin"
    path = os.path.join(os.fsencode(served.root), name)
    with open(path, "wb") as file:
        file.write(b"x")
    failed = eventually(lambda: served.told()["failed"])[0]
    assert failed["path"] == "\\xff.bin"
    assert failed["kind"] == "cannot_write"
    assert "--exclude" in failed["hint"]
    assert metrics(served)["lighterman_failures_total", "cannot_write"] >= 1
    eventually(lambda: metrics(served)["lighterman_failed_files",] == 1)
    os.rename(path, served.root / "good.bin")
    served.leap(400)
    served.write("wake")
    eventually(lambda: served.told()["failed_files"] == 0)


def test_a_store_that_is_gone_for_long_is_not_ready_and_one_that_is_back_is(over_proxy):
    """Retries inside one attempt tell it, though the attempt itself goes on for minutes."""
    served, proxy = over_proxy
    proxy.on(is_put, slow_down(), times=None)
    served.write("a")
    eventually(lambda: served.told()["retries"] > 0)
    assert served.ask("/readyz").status == 200
    served.leap(PATIENCE_SECONDS + 1)
    eventually(lambda: served.ask("/readyz").status == 503)
    assert "attempts fail" in served.ask("/readyz").text
    assert served.ask("/healthz").status == 200
    found = metrics(served)
    assert found["lighterman_ready",] == 0
    assert found["lighterman_behind_seconds",] > PATIENCE_SECONDS
    assert found["lighterman_uploads_in_flight",] == 1
    proxy.forget()
    eventually(lambda: served.ask("/readyz").status == 200)
    eventually(lambda: served.told()["backlog"]["files"] == 0)


def test_a_loop_that_is_stuck_is_not_alive(served, monkeypatch):
    """Nobody answers: 503, and the same of all that asks the loop."""
    monkeypatch.setattr("sidecar.status.asking.ask.__defaults__", (0.2,))
    go, held = threading.Event(), threading.Event()

    def hold():
        held.set()
        go.wait(30)

    served.service._loop.post(hold)
    held.wait(30)
    served.leap(10)  # what was told a moment ago isn't told again
    try:
        assert served.ask("/healthz").status == 503
        assert served.ask("/status").status == 503
        assert served.ask("/readyz").status == 503
        assert served.ask("/flush", "POST").status == 503
    finally:
        go.set()
    eventually(lambda: served.ask("/healthz").status == 200)


def test_a_flush_returns_when_all_that_was_there_is_in_the_bucket(tmp_path, volume_store):
    """Without waiting for the settling; markers of empty directories too."""
    served = Served(tmp_path, volume_store, settle_seconds=1000.0, max_delay_seconds=2000.0)
    for number in range(50):
        served.write(f"d{number % 7}/f{number}", b"x" * number)
    (served.root / "empty").mkdir()
    ended = served.ask("/flush", "POST")
    there = {entry.key for page in volume_store.pages("") for entry in page}
    assert (200, True, []) == (ended.status, ended.json["is_flushed"], ended.json["failed"])
    assert there == {"out/empty/", *(f"out/d{n % 7}/f{n}" for n in range(50))}
    served.write("d0/f0", b"again")
    assert served.ask("/flush", "POST").json["is_flushed"]
    assert volume_store.stat("out/d0/f0").size_bytes == 5
    assert served.stop() == []


def test_a_flush_names_what_is_held_back_and_why(served):
    """Open for writing, temporary, or failed."""
    served.write("a.part")
    served.write("fine")
    with open(os.fsencode(served.root) + b"/\xfe", "wb"):
        pass
    with (served.root / "open").open("wb") as file:
        file.write(b"x")
        file.flush()
        ended = served.ask("/flush", "POST")
    assert ended.status == 503
    told = {each["path"]: each["kind"] for each in ended.json["failed"]}
    assert told == {"a.part": "temporary", "open": "open", "\\xfe": "cannot_write"}
    assert all(each["hint"] for each in ended.json["failed"])
    assert served.tally.totals().files == 1
    os.unlink(os.fsencode(served.root) + b"/\xfe")
    eventually(lambda: served.ask("/flush", "POST").json["failed_files"] == 1)


def test_a_flush_waits_for_what_changed_while_it_was_sent(over_proxy, s3_bucket):
    """An upload that began before the last change isn't what was there at the call."""
    served, proxy = over_proxy
    state = {}

    def change(_request):
        if not state:
            new = served.root.parent / "new"
            new.write_bytes(b"second")
            new.rename(served.root / "a")
            state["flush"] = threading.Thread(
                target=lambda: state.update(ended=served.ask("/flush", "POST"))
            )
            state["flush"].start()

    proxy.on(is_put, Call(change))
    served.write("a", b"first")
    eventually(lambda: "ended" in state)
    state["flush"].join()
    assert state["ended"].json["is_flushed"]
    assert s3_bucket.get("out/a") == b"second"


def test_a_flush_gives_up_in_its_time_and_names_what_is_left(over_proxy):
    """``?timeout=SECONDS``: it never hangs."""
    served, proxy = over_proxy
    proxy.on(is_put, slow_down(), times=None)
    served.write("a")
    ended = served.ask("/flush?timeout=0.5", "POST")
    assert ended.status == 503
    assert ended.json["error"] == "the time was over"
    assert [(each["path"], each["kind"]) for each in ended.json["failed"]] == [("a", "pending")]
    assert served.ask("/flush?timeout=soon", "POST").status == 400


def test_a_flush_comes_from_within_the_pod_and_from_no_other_page(served):
    """A site that a browser looks at can't make it; neither can another machine."""
    assert served.ask("/flush", "POST", Origin="http://evil.example").status == 403
    assert served.ask("/flush", "POST", Origin=served.url).status == 200
    assert served.ask("/flush", "POST", data=b"{}").status == 200


def test_a_flush_from_another_machine_is_refused(served, monkeypatch):
    """Its address decides."""
    handler = "sidecar.status.server._Handler"
    for address, expected in (
        ("10.0.0.7", 403),
        ("::ffff:10.0.0.7", 403),
        ("fe80::1%eth0", 403),
        ("::ffff:127.0.0.1", 200),
        ("::1", 200),
    ):
        monkeypatch.setattr(f"{handler}.client_address", (address, 1), raising=False)
        monkeypatch.setattr(
            f"{handler}.__setattr__",
            lambda self, name, value: (
                None if name == "client_address" else object.__setattr__(self, name, value)
            ),
        )
        assert expected == served.ask("/flush", "POST").status


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/nothing", "GET", 404),
        ("/status", "POST", 405),
        ("/flush", "GET", 405),
        ("/status", "PUT", 501),
        ("/../../etc/passwd", "GET", 404),
        ("/%00", "GET", 404),
        ("/status?x=1", "GET", 200),
        ("/", "HEAD", 200),
    ],
)
def test_what_is_not_there_is_said(served, path, method, status):
    """In one line, and nothing else is served."""
    answer = served.ask(path, method)
    assert status == answer.status
    assert answer.headers["Cache-Control"] == "no-store"
    if method == "HEAD":
        assert answer.text == ""


def test_the_page_lets_nothing_in_from_elsewhere(served):
    """A strict policy: its own script and style, by their hashes, and its own server."""
    page = served.ask("/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy
    for outside in ("http://", "https://", "//cdn", "@import", "url(", "src="):
        assert outside not in page.text.replace("http://www.w3.org/2000/svg", "")


def test_no_secret_is_told(served):
    """A known one is masked wherever it would stand: in a path, an error, a label."""
    Secret("very-secret-value")
    served.write("very-secret-value.tmp")
    eventually(lambda: served.told()["waiting"])
    for path in ("/status", "/metrics"):
        assert "very-secret" not in served.ask(path).text
    assert "very-secret" not in served.ask("/flush", "POST").text


def test_a_client_that_talks_nonsense_or_goes_away_harms_nobody(served):
    """Garbage, half a request, and more connections than are taken at once."""
    place = ("127.0.0.1", int(served.url.rpartition(":")[2]))
    with socket.create_connection(place) as client:
        client.sendall(b"\x16\x03\x01 non sense HTTP/1.1\r\n\r\n")
        assert b"HTTP/1.1 400" in client.recv(1000)
    with socket.create_connection(place) as client:
        client.sendall(b"GET /status HTTP/1.1\r\n")
    crowd = [socket.create_connection(place) for _ in range(100)]
    for client in crowd:
        client.close()

    def is_answered():
        try:
            return served.ask("/healthz").status == 200
        except OSError:  # the crowd is still there
            return False

    eventually(is_answered)
    gc.collect()


def test_history_tells_throughput_and_backlog_over_time(served):
    """Sums since the start, from zero on; the last is what /status tells."""
    served.write("a", b"x" * 100_000)
    eventually(lambda: served.told()["sent_files"] == 1)
    told = served.told()
    assert told["history"][0][1:3] == [0, 0]
    assert told["history"][-1][1:3] == [100_000, 1]
