"""The lane of small files, before a server that answers as it is told."""

import hashlib
import os
import socket
import ssl
import threading
from collections import deque

import pytest
from scripted import Scripted

from initializer.fetch import Fetcher
from initializer.lane import MOST_UNUSUAL, Lane, Reading
from initializer.plan import Fetch
from initializer.source import Source
from initializer.state import NoNotes
from initializer.verify import Checksums
from lighterman.clock import SystemClock
from lighterman.errors import CannotWriteError, CredentialsError
from lighterman.stores.contract import Attributes
from lighterman.stores.failures import is_same
from lighterman.stores.straight import Address, Way
from lighterman.stores.volume import VolumeStore
from lighterman.transfer.budget import Budget
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts
from lighterman.transfer.tally import Tally

DEADLINE_SECONDS = 30
BODY = b"0123456789"


def usual(body=BODY, *fields, version="1.1", status="200 OK"):
    """An answer whose length is told."""
    lines = [f"HTTP/{version} {status}", f"Content-Length: {len(body)}", *fields, "", ""]
    return ["\r\n".join(lines).encode() + body]


class Script(Scripted):
    """
    A server that gives each request, by its path, the next of the answers told for it: a list of pieces that are
    sent one by one, ``None`` at its end closes the connection. Without any, the usual answer.
    """

    def __init__(self, tls=None):
        self.answers = {}
        self.asked = []
        self.connections = 0
        super().__init__(tls)

    def converse(self, connection):
        self.connections += 1
        with connection.makefile("rb") as reader:
            while line := reader.readline():
                while reader.readline() not in (b"\r\n", b""):
                    pass
                name = line.split()[1].decode()[1:]
                self.asked.append(name)
                told = self.answers.get(name)
                for piece in told.popleft() if told else usual():
                    if piece is None:
                        return
                    connection.sendall(piece)


class Plainly:
    """Straight reads without a login."""

    def __init__(self, port, tls=None):
        self.way = Way("127.0.0.1", port, tls, 5.0, 1.0)
        self.refuses = set()

    def request(self, key, _etag, _part=None):
        if key in self.refuses:
            raise CredentialsError("no login")
        return None if key == "odd" else f"GET /{key} HTTP/1.1\r\nhost: x\r\n\r\n".encode()

    def is_of(self, head, etag):
        return is_same(head.field(b"etag"), etag)

    def attributes(self, head):
        mode = head.field(b"x-mode")
        return Attributes(mode=int(mode, 8) if mode else None)


class Files:
    """A line of files."""

    def __init__(self, items):
        self.items = deque(items)

    @property
    def is_over(self):
        return not self.items

    def next(self):
        return self.items.popleft() if self.items else None


class Quay:
    """A lane with all that it needs."""

    def __init__(self, tmp_path, server_tls=None, client_tls=None):
        self.server = Script(server_tls)
        self.straight = Plainly(self.server.port, client_tls)
        self.root = tmp_path / "dest"
        self.root.mkdir()
        self.tally = Tally()
        self.pace = Pace(64)
        self.left = []
        self.is_halted = lambda: False
        (tmp_path / "source").mkdir()
        store = VolumeStore(str(tmp_path / "source"), "source")
        self.attempts = Attempts(0, SystemClock(), self.tally)
        self.source = Source(store, self.pace, Checksums(store, self.attempts))

    def item(self, name, body=BODY, checksum="md5"):
        if checksum == "md5":
            checksum = f"md5:{hashlib.md5(body).hexdigest()}"
        return Fetch(f"{self.root}/{name}", 0, 0, name, len(body), "etag", 1.0, checksum)

    def run(self, *items, most=16, addresses=None):
        fetcher = Fetcher(
            [self.source],
            [NoNotes()],
            budget=Budget(1 << 20),
            attempts=self.attempts,
            tally=self.tally,
            clock=SystemClock(),
            stop=threading.Event(),
        )
        addresses = addresses or self.straight.way.addresses()
        reading = Reading(self.straight, addresses, self.pace)
        lane = Lane(
            fetcher,
            [reading],
            Files(items),
            leave=lambda item: self.left.append(item.key),
            is_halted=self.is_halted,
            most=most,
        )
        lane.run()

    def files(self):
        return {path.name: path.read_bytes() for path in self.root.iterdir()}


@pytest.fixture
def quay(tmp_path, monkeypatch):
    monkeypatch.setattr("initializer.lane.LOOK_SECONDS", 0.05)
    made = Quay(tmp_path)
    yield made
    made.server.close()
    assert made.pace._running == 0


def test_small_files_come_over_few_connections(quay):
    """Each is asked for once, verified, and under its name."""
    items = [quay.item(f"f{number}") for number in range(500)]
    quay.run(*items)
    assert quay.files() == {f"f{number}": BODY for number in range(500)}
    assert sorted(quay.server.asked) == sorted(item.key for item in items)
    assert quay.server.connections <= 1 + 16  # the first finds out the address
    totals = quay.tally.totals()
    assert (totals.files, totals.bytes, totals.unverified) == (500, 500 * len(BODY), 0)
    assert quay.left == []


@pytest.mark.parametrize("is_trusted", [True, False])
def test_small_files_come_over_tls(tmp_path, authority, is_trusted):
    """Where the server's certificate is trusted; else others are to say what is wrong with it."""
    client = ssl.create_default_context(cafile=authority.ca_bundle if is_trusted else None)
    quay = Quay(tmp_path, authority.server, client)
    bodies = {f"f{number}": os.urandom(number * 2000) for number in range(100)}
    quay.server.answers = {name: deque([usual(body)]) for name, body in bodies.items()}
    quay.run(*[quay.item(name, body) for name, body in bodies.items()])
    quay.server.close()
    assert quay.files() == (bodies if is_trusted else {})
    assert bool(quay.left) != is_trusted


def test_zero_bytes_are_a_file(quay):
    """With the mode that comes with them."""
    quay.server.answers["empty"] = deque([usual(b"", "x-mode: 640")])
    quay.run(quay.item("empty", b""))
    assert quay.files() == {"empty": b""}
    assert (quay.root / "empty").stat().st_mode & 0o777 == 0o640


def test_without_a_checksum_a_file_is_unverified(quay):
    """It is counted so."""
    quay.run(quay.item("a", checksum=None))
    assert (quay.files(), quay.tally.totals().unverified) == ({"a": BODY}, 1)


def test_a_crc32c_is_compared_too(quay):
    """Whatever sum the listing tells."""
    quay.run(quay.item("a", checksum="crc32c:280c069e"), quay.item("b", checksum="crc32c:00000000"))
    assert (quay.files(), quay.left) == ({"a": BODY}, ["b"])


@pytest.mark.parametrize(
    "answer",
    [
        [piece for byte in usual()[0] for piece in [bytes([byte])]],
        [usual()[0][:-3], usual()[0][-3:]],
        usual(BODY, "Connection: close"),
        usual(version="1.0"),
        [*usual(BODY, "Connection: close"), None],
    ],
    ids=["byte by byte", "in two pieces", "close", "HTTP/1.0", "closed"],
)
def test_an_answer_comes_in_any_pieces(quay, answer):
    """And the connection may end with it."""
    quay.server.answers["a"] = deque([answer])
    quay.run(quay.item("a"), quay.item("b"), most=1)
    assert quay.files() == {"a": BODY, "b": BODY}
    assert quay.left == []


@pytest.mark.parametrize(
    "answer",
    [
        usual(b"gone", status="404 Not Found"),
        usual(b"changed", status="412 Precondition Failed"),
        usual(b"slowly", status="503 Slow Down"),
        usual(status="206 Partial Content"),
        usual(BODY, 'ETag: "another"'),
        usual(BODY[:-1]),
        usual(BODY + b"!"),
        usual(b"other bytes"[:10]),
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n"],
        [usual()[0] + b"more than was told"],
        [usual()[0][:-3], None],
        [b"HTTP/1.1 200 OK\r\n", None],
        [b"", None],
        [b"SSH-2.0-OpenSSH_9\r\n\r\n"],
        [b"x" * 70_000],
        [b""],
        [usual()[0][:-3]],
    ],
    ids=[
        *(
            "missing",
            "changed",
            "slow down",
            "partial",
            "other version",
            "shorter",
            "longer",
            "other bytes",
        ),
        *("chunked", "more than told", "cut body", "cut head", "no answer"),
        *("no HTTP", "endless head", "stalled", "stalled body"),
    ],
)
def test_what_is_not_the_usual_answer_is_left_to_others(quay, answer):
    """Nothing of it stays, under no name; the files beside it come."""
    quay.server.answers["a"] = deque([answer])
    quay.run(quay.item("a"), *[quay.item(f"b{number}") for number in range(20)], most=2)
    assert quay.files() == {f"b{number}": BODY for number in range(20)}
    assert quay.left == ["a"]


def test_a_store_that_asks_for_less_gets_less(quay):
    """A slow-down answer lowers the concurrency, for all who share the pace."""
    for number in range(8):
        quay.server.answers[f"f{number}"] = deque([usual(b"slowly", status="503 Slow Down")])
    quay.run(*[quay.item(f"f{number}") for number in range(8)])
    assert quay.pace.width == 32
    assert sorted(quay.left) == [f"f{number}" for number in range(8)]


def test_a_connection_that_was_let_go_is_no_failure(quay):
    """The server closes one that idles, at the moment at which it is used again."""
    for number in range(0, 40, 2):
        quay.server.answers[f"f{number:02}"] = deque([[None]])
    items = [quay.item(f"f{number:02}") for number in range(1, 41)]
    quay.run(*items, most=1)
    assert len(quay.files()) == 40
    assert quay.left == []


def test_what_has_no_request_is_left(quay):
    """A key that can't go this way, a login that can't be had."""
    quay.straight.refuses = {"refused"}
    quay.run(quay.item("odd"), quay.item("refused"), quay.item("a"))
    assert (quay.files(), quay.left) == ({"a": BODY}, ["odd", "refused"])


def test_a_way_that_leads_nowhere_is_given_up(quay):
    """After so many in a row; the rest of the line isn't touched."""
    quay.server.answers = {
        f"f{number}": deque([usual(b"", status="500 Oops")]) for number in range(200)
    }
    line = [quay.item(f"f{number}") for number in range(200)]
    quay.run(*line)
    assert MOST_UNUSUAL <= len(quay.left) < MOST_UNUSUAL + 16
    assert quay.files() == {}


def test_nobody_there_leaves_all_to_others(quay):
    """A connection that is refused."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = Address(socket.AF_INET, closed.getsockname())
    quay.run(quay.item("a"), quay.item("b"), addresses=[nobody])
    assert (quay.files(), sorted(quay.left)) == ({}, ["a", "b"])


def test_told_to_stop_it_leaves_nothing_behind(quay):
    """Not even under a temporary name; what it didn't fetch is left, so that nobody takes it for done."""
    quay.server.answers["a"] = deque([[usual()[0][:-3]]])

    def is_halted():
        return bool(quay.server.asked) and any(quay.root.iterdir())

    quay.is_halted = is_halted
    quay.run(quay.item("a"))
    assert (quay.files(), quay.left) == ({}, ["a"])


def test_a_disk_that_takes_nothing_ends_it(quay):
    """73, with the file's path and what it needs; no partial file."""
    os.rmdir(quay.root)
    with pytest.raises(CannotWriteError) as caught:
        quay.run(quay.item("a"))
    assert f"{quay.root}/a" in str(caught.value)
