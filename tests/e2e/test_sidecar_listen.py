"""``--listen``: the real program, asked over HTTP."""

import re
import signal
import socket
import sys
from pathlib import Path

import pytest
from outputs_place import eventually
from serving import ask

SETTLE = ("--settle", "0.2", "--native")
ANYWHERE = ("--listen", "127.0.0.1:0")


def url_of(running):
    return f"http://127.0.0.1:{running.wait_for_event('sidecar.listening')['port']}"


def drain(running):
    running.signal(signal.SIGTERM)
    ended = running.finish()
    assert ended.code == 0
    return ended


def test_it_answers_until_the_end(outputs):
    """From the first reconcile on ready; after the drain nobody is there."""
    running = outputs.sidecar(*SETTLE, *ANYWHERE)
    url = url_of(running)
    eventually(lambda: ask(f"{url}/readyz").status == 200)
    outputs.write("a")
    assert ask(f"{url}/flush", "POST").json == {
        "is_flushed": True,
        "files": 1,
        "failed_files": 0,
        "failed": [],
        "error": "",
    }
    assert outputs.there("a") == "x"
    drain(running)
    with pytest.raises(OSError, match="refused"):
        ask(f"{url}/healthz")


def test_it_listens_by_its_variable_and_in_run(outputs):
    """``LIGHTERMAN_LISTEN``; CMD is told nothing of it, and may ask."""
    code = (
        "import os, urllib.request as r; "
        "print(r.urlopen(os.environ['ASK'] + '/healthz').read().decode())"
    )
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environ = {"LIGHTERMAN_LISTEN": f"127.0.0.1:{port}", "ASK": f"http://127.0.0.1:{port}"}
    ended = outputs.run(command=(sys.executable, "-c", code), environ=environ)
    assert (ended.code, ended.stdout) == (0, "ok\n\n")


@pytest.mark.parametrize("value", ["9464", "0.0.0.0:99999"])
def test_a_bad_address_is_a_usage_error(outputs, value):
    """64, with an address that would do; by its variable too."""
    by_flag = outputs.program.run("sidecar", *outputs.flags("--listen", value))
    by_variable = outputs.program.run(
        "sidecar", *outputs.flags(), environ={"LIGHTERMAN_LISTEN": value}
    )
    for ended in (by_flag, by_variable):
        assert ended.code == 64
        assert "0.0.0.0:9464" in ended.report["error"]["message"]


def test_a_port_that_is_taken_ends_it_before_anything_is_done(program, tmp_path):
    """78, with a mend; no directory is made, no connection is looked for."""
    path = tmp_path / "not-made"
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = f"127.0.0.1:{other.getsockname()[1]}"
        ended = program.run("sidecar", "--connection", "no-such", "--path", path, "--listen", place)
    assert ended.code == 78
    assert place in ended.report["error"]["message"]
    assert "another port" in ended.report["error"]["hint"]
    assert not path.exists()


def test_idle_nothing_wakes_up_for_it(outputs):
    """While nobody asks and nothing waits, no thread of the process runs."""
    running = outputs.sidecar(*SETTLE, *ANYWHERE)
    url = url_of(running)
    outputs.write("a")
    outputs.wait_for("a")
    ask(f"{url}/metrics")

    def voluntary():
        total = 0
        for task in Path(f"/proc/{running.pid}/task").iterdir():
            status = (task / "status").read_text()
            total += int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status, re.MULTILINE)[1])
        return total

    def is_quiet():
        before = voluntary()
        with socket.socket() as pause:  # nobody calls: three seconds
            pause.settimeout(3)
            pause.bind(("127.0.0.1", 0))
            pause.listen()
            with pytest.raises(TimeoutError):
                pause.accept()
        return voluntary() == before

    eventually(is_quiet)
    drain(running)


def test_without_it_nothing_of_it_is_imported(outputs):
    """A cold start pays for no server."""
    running = outputs.sidecar(*SETTLE, environ={"PYTHONPROFILEIMPORTTIME": "1"})
    ended = drain(running)
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert "sidecar.service" in imported
    assert not {"http.server", "prometheus_client", "sidecar.status.server"} & imported


def test_a_drain_that_will_not_fit_is_said_at_its_start(outputs):
    """One line, early, with what is left and the time there is; then 75, by itself, before the kill."""
    running = outputs.sidecar(*SETTLE, "--bwlimit", "200K", "--grace", "4")
    outputs.write("first", "x" * 100_000)
    outputs.wait_for("first", "x" * 100_000)
    for number in range(30):
        outputs.write(f"f{number}", "x" * 100_000)
    running.signal(signal.SIGTERM)
    ended = running.finish()
    told = ended.event("sidecar.grace_too_short")
    assert ended.code == 75
    assert told["needed_seconds"] > told["left_seconds"] > 3
    assert told["backlog_files"] >= 20
    assert [each["event"] for each in ended.events].count("sidecar.grace_too_short") == 1


def test_a_drain_that_fits_is_not_spoken_of(outputs):
    """No warning without a reason."""
    running = outputs.sidecar(*SETTLE)
    for number in range(30):
        outputs.write(f"f{number}")
    assert "sidecar.grace_too_short" not in [each["event"] for each in drain(running).events]


def test_descriptors_of_the_server_are_not_passed_to_cmd(outputs):
    """CMD could keep the port, after the wrapper has gone."""
    command = ("sh", "-c", "ls -l /proc/self/fd")
    ended = outputs.run(*ANYWHERE, command=command)
    assert ended.code == 0
    assert "socket:" not in ended.stdout
