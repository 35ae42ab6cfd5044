"""Ctrl-C in the midst of a call, and what a call holds in memory."""

import os
import signal
import subprocess
import sys

import pytest
from catalogs import NAME, write_catalog
from servers.faults import Delay, Stall, StallBody, is_get
from trees import MIB, make_large

import lighterman

WAIT_SECONDS = 30

PROGRAM = """
import signal
import sys
import lighterman

# A shell starts what it has in the background with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

call, catalog, local = sys.argv[1:]
with lighterman.connect("datasets", catalog=catalog, environ={}, stall_seconds=1) as place:
    if call == "download_file":
        place.download_file("x/large", local + "/in/large")
    elif call == "download_dir":
        place.download_dir("x", local + "/in")
    elif call == "upload_dir":
        place.upload_dir(local + "/out", "y")
    else:
        place.upload_file(local + "/out/large", "y/large")
"""


def start(call, catalog, local):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, call, str(catalog), str(local)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def is_part(request):
    return "partNumber" in request.query


@pytest.mark.parametrize("call", ["download_file", "download_dir", "upload_dir", "upload_file"])
def test_ctrl_c_ends_a_call(s3_bucket, proxy_to, tmp_path, call):
    """It is KeyboardInterrupt, soon, though a server stalls; nothing partial is left under a final name."""
    (tmp_path / "out").mkdir()
    large = make_large(tmp_path / "out" / "large", 20 * MIB)
    s3_bucket.put("x/large", large.read_bytes())
    proxy = proxy_to(s3_bucket.endpoint)
    catalog = write_catalog(tmp_path / "c.json", s3_bucket.connection(NAME, endpoint=proxy.url))
    is_download = call.startswith("download")
    matches = is_get if is_download else is_part
    proxy.on(matches, StallBody(MIB) if is_download else Stall(), times=None)
    with start(call, catalog, tmp_path) as process:
        proxy.wait_for(matches)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in said
    assert not (tmp_path / "in" / "large").exists()
    assert [] == s3_bucket.keys("y")
    if call == "download_file":
        assert [] == os.listdir(tmp_path / "in")


def test_a_stopped_download_is_gone_on_with(s3_bucket, proxy_to, tmp_path):
    """Half-fetched large files go on: the next call needs less than all of it."""
    large = make_large(tmp_path / "large", 48 * MIB)
    s3_bucket.put("x/large", large.read_bytes())
    proxy = proxy_to(s3_bucket.endpoint)
    catalog = write_catalog(tmp_path / "c.json", s3_bucket.connection(NAME, endpoint=proxy.url))
    proxy.on(is_get, Stall(), times=None, skip=3)
    with start("download_dir", catalog, tmp_path) as process:
        proxy.wait_for(is_get, 4)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=WAIT_SECONDS)
    proxy.forget()
    with lighterman.connect(NAME, catalog=catalog, environ={}) as place:
        told = place.download_dir("x", tmp_path / "in")
    assert large.read_bytes() == (tmp_path / "in" / "large").read_bytes()
    assert told.size_bytes < 48 * MIB


INTERRUPTED = """
import signal, sys, threading


class Ended(Exception):
    pass


def end(*_):
    raise Ended


signal.signal(signal.SIGUSR1, end)
try:
    exec(sys.argv.pop(1))
except Ended:
    print("ended")
for thread in threading.enumerate():
    if thread is not threading.current_thread():
        thread.join()
"""


def start_interrupted(call, catalog, local):
    arguments = [sys.executable, "-c", INTERRUPTED, PROGRAM, call, str(catalog), str(local)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("name", ["small", "large"])
@pytest.mark.parametrize("call", ["download_file", "download_dir", "upload_dir", "upload_file"])
def test_what_a_handler_of_the_program_raises_ends_a_call(
    s3_bucket, proxy_to, tmp_path, call, name
):
    """A time limit by SIGALRM, say: the exception comes out, and nothing goes on behind the program's back."""
    (tmp_path / "out").mkdir()
    large = make_large(tmp_path / "out" / "large", 20 * MIB if name == "large" else 1000)
    s3_bucket.put("x/large", large.read_bytes())
    proxy = proxy_to(s3_bucket.endpoint)
    catalog = write_catalog(tmp_path / "c.json", s3_bucket.connection(NAME, endpoint=proxy.url))

    is_download = call.startswith("download")

    def matches(request):
        return request.method == ("GET" if is_download else "PUT")

    proxy.on(matches, Stall(), times=None)
    with start_interrupted(call, catalog, tmp_path) as process:
        proxy.wait_for(matches)
        process.send_signal(signal.SIGUSR1)
        if is_download:  # requests that were begun may still bring their bytes
            proxy.forget()
        printed, said = process.communicate(timeout=WAIT_SECONDS)
    assert ("ended", "") == (printed.strip(), said)
    brought = tmp_path / "in" / "large"
    assert not brought.exists() or brought.read_bytes() == large.read_bytes()
    assert ([], []) == (s3_bucket.keys("y"), s3_bucket.open_uploads())


@pytest.mark.parametrize("call", ["upload_dir", "upload_file"])
def test_no_part_is_begun_after_the_end(s3_bucket, proxy_to, tmp_path, call):
    """A large upload over a healthy line stops too, and its parts are abandoned."""
    (tmp_path / "out").mkdir()
    make_large(tmp_path / "out" / "large", 160 * MIB)
    proxy = proxy_to(s3_bucket.endpoint)
    catalog = write_catalog(tmp_path / "c.json", s3_bucket.connection(NAME, endpoint=proxy.url))
    proxy.on(is_part, Delay(0.5), times=None)
    with start_interrupted(call, catalog, tmp_path) as process:
        proxy.wait_for(is_part, 2)
        process.send_signal(signal.SIGUSR1)
        printed, said = process.communicate(timeout=WAIT_SECONDS)
    assert ("ended", "") == (printed.strip(), said)
    assert ([], []) == (s3_bucket.keys("y"), s3_bucket.open_uploads())
    assert len(proxy.seen(is_part)) < 10


MEASURED = """
import resource, sys
import lighterman

catalog, local = sys.argv[1:]
with lighterman.connect("datasets", catalog=catalog, environ={}, memory_bytes=16 << 20) as place:
    place.upload_file(local + "/small", "small")
    place.download_file("small", local + "/small-back")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    place.upload_file(local + "/large", "large")
    place.upload_dir(local, "x", exclude=["small*"])
    place.download_file("large", local + "/large-back")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_is_bounded_whatever_the_size(s3_bucket, tmp_path):
    """Parts stream from the descriptor, ranges into the file: a file of 200 MiB takes what the budget says."""
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "small").write_bytes(b"1")
    make_large(tmp_path / "t" / "large", 200 * MIB)
    catalog = write_catalog(tmp_path / "c.json", s3_bucket.connection(NAME))
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, catalog, str(tmp_path / "t")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    assert int(done.stdout) * 1024 < 64 * MIB  # the budget of 16, and what threads and sockets take
