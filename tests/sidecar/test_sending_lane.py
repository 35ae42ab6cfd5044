"""The lane of small outputs, before a server that answers as it is told."""

import os
import ssl
import threading
import time
from collections import deque

import pytest
from scripted import Scripted

from lighterman.clock import SystemClock
from lighterman.errors import CannotWriteError, CredentialsError
from lighterman.stores.contract import ETag, Key
from lighterman.stores.straight import Way
from lighterman.transfer.budget import Budget
from lighterman.transfer.pace import Pace
from lighterman.transfer.tally import Tally
from sidecar.journal import Journal
from sidecar.lane import Lane
from sidecar.leases import Leases
from sidecar.loading import FILE_BYTES, Ground
from sidecar.loop import Loop
from sidecar.outgoing import Handed
from sidecar.output import REST_SECONDS
from sidecar.sendings import MOST_UNUSUAL
from sidecar.states import FileState, Synced
from sidecar.upload import Outcome, Result

DEADLINE_SECONDS = 30.0
PACE = 64
SENT = Outcome(Result.SENT)
LEFT = None


def usual(status="200 OK", *fields, body=b""):
    """An answer to a PUT whose length is told."""
    fields = fields or ('ETag: "an-etag"',)
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


class Script(Scripted):
    """
    A server that takes PUTs, and answers each, by its path, with the next of the answers told for it: ``None``
    closes the connection instead, what can be called is called before that. Without any, the usual answer. ``early``: before the body is read.
    """

    def __init__(self, tls=None):
        self.answers = {}
        self.early = {}
        self.took = {}
        self.connections = 0
        super().__init__(tls)

    def converse(self, connection):
        with connection.makefile("rb") as reader:
            if reader.peek(1):  # the look for the server's addresses asks nothing
                self.connections += 1
            while self._answer_one(connection, reader):
                pass

    def _answer_one(self, connection, reader):
        line = reader.readline()
        if not line:
            return False
        name = line.split()[1].decode()[1:]
        fields = {}
        while (field := reader.readline()) not in (b"\r\n", b""):
            key, _, value = field.decode().partition(":")
            fields[key.lower()] = value.strip()
        if name in self.early:
            connection.sendall(self.early[name])
            return False
        body = reader.read(int(fields["content-length"]))
        told = self.answers.get(name)
        answer = told.popleft() if told else usual()
        if callable(answer):
            answer()
            return False
        if answer is None:
            return False
        self.took[name] = body
        connection.sendall(answer)
        return b"close" not in answer


class Plainly:
    """Straight writes without a login."""

    def __init__(self, port, tls=None):
        self.way = Way("127.0.0.1", port, tls, 5.0, 1.0)
        self.refuses = set()

    def put(self, key, size_bytes, _attributes):
        if key in self.refuses:
            raise CredentialsError("no login")
        return f"PUT /{key} HTTP/1.1\r\nhost: x\r\ncontent-length: {size_bytes}\r\n\r\n".encode()

    def etag(self, head):
        return ETag(head.field(b"etag").strip('"')) or None


class Quay:
    """A lane with all that it needs."""

    def __init__(self, tmp_path, server_tls=None, client_tls=None):
        self.server = Script(server_tls)
        self.straight = Plainly(self.server.port, client_tls)
        self.root = tmp_path / "outputs"
        self.root.mkdir()
        self.journal = Journal.in_memory("somewhere")
        self.tally, self.pace, self.budget = Tally(), Pace(PACE), Budget(1 << 22)
        self.adopted = set()
        self.loop = Loop()
        self.ended = {}
        ground = Ground(
            str(self.root),
            "to",
            self.journal,
            self.straight,
            lambda key: key in self.adopted,
            Leases(str(self.root)),
        )
        self.lane = Lane(
            ground,
            self.loop,
            clock=SystemClock(),
            pace=self.pace,
            budget=self.budget,
            tally=self.tally,
            most=16,
        )
        self.lane.start(self._landed)

    def _landed(self, ended):
        self.ended.update({handed.path: outcome for handed, outcome in ended})

    def make(self, *names, body=b"0123456789"):
        for name in names:
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        rested = max((self.root / name).stat().st_ctime for name in names) + 2 * REST_SECONDS
        while time.time() < rested:
            threading.Event().wait(REST_SECONDS)

    def send(self, *names, final=True):
        """What became of each, in their order."""
        self.lane.hand([Handed(name, final, False, 0.0) for name in names])
        return self.outcomes(*names)

    def outcomes(self, *names):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.lane.busy and time.monotonic() < deadline:
            self.loop.turn(1.0)
        return [self.ended.pop(name) for name in names]

    def is_all_given_back(self):
        totals = self.tally.totals()
        return (
            self.budget.take_now(self.budget.limit_bytes)
            and totals.planned_files == totals.files
            and totals.planned_bytes == totals.bytes
        )

    def close(self):
        self.lane.close()
        self.loop.close()
        self.journal.close()
        self.server.close()


@pytest.fixture
def quay(tmp_path):
    made = Quay(tmp_path)
    yield made
    made.close()


def test_files_are_sent_and_noted(quay):
    """Each is in the store with its bytes, and in the journal with its state and ETag."""
    names = ["a", "dir/b", "dir/deep/c"]
    quay.make(*names)
    quay.make("empty", body=b"")
    assert [SENT] * 4 == quay.send(*names, "empty")
    assert {f"to/{name}": b"0123456789" for name in names} | {"to/empty": b""} == quay.server.took
    for name in names:
        state = FileState.of((quay.root / name).stat())
        synced = Synced(state, Key(f"to/{name}"), ETag("an-etag"), crc32c="280c069e")
        assert synced == quay.journal.synced(name)
    assert (4, 30) == (quay.tally.totals().files, quay.tally.totals().bytes)
    assert quay.is_all_given_back()


def test_a_body_larger_than_a_sockets_room_is_sent_whole(quay):
    """In pieces, as the connection takes them."""
    body = os.urandom(FILE_BYTES)
    quay.make("large", body=body)
    assert [SENT] == quay.send("large")
    assert body == quay.server.took["to/large"]


def test_connections_are_used_again(quay):
    """A file costs a request, not a connection."""
    names = [f"{number:03}" for number in range(200)]
    quay.make(*names)
    assert [SENT] * 200 == quay.send(*names)
    assert quay.server.connections <= 16


@pytest.mark.parametrize(
    "answer",
    [
        usual("403 Forbidden", body=b"<Error/>"),
        usual("500 Internal Server Error"),
        usual("307 Temporary Redirect", "Location: http://elsewhere"),
        usual("200 OK", "x-no-etag: 1"),
        b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 5\r\n\r\nabc',
        b"not HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"x" * 70_000,
        None,
    ],
)
def test_another_answer_leaves_the_file(quay, answer):
    """Whatever it means is for the threads to find out; the others go on."""
    quay.make("odd", "usual")
    quay.server.answers["to/odd"] = deque([answer])
    assert [LEFT, SENT] == quay.send("odd", "usual")
    assert quay.journal.synced("odd") is None
    assert quay.is_all_given_back()


@pytest.mark.parametrize("status", ["503 Slow Down", "429 Too Many Requests"])
def test_a_store_that_asks_for_less_narrows_the_pace(quay, status):
    """For all transfers of the connection."""
    quay.make("odd")
    quay.server.answers["to/odd"] = deque([usual(status)])
    assert [LEFT] == quay.send("odd")
    assert quay.pace.width <= PACE // 2 + 1


def test_a_refusal_before_the_body_was_read_leaves_the_file(quay):
    """A store needn't take a body that it doesn't want."""
    quay.make("odd", body=bytes(FILE_BYTES))
    quay.server.early["to/odd"] = usual("403 Forbidden", "Connection: close")
    assert [LEFT] == quay.send("odd")
    assert quay.is_all_given_back()


def test_a_connection_that_was_let_go_says_nothing_of_the_file(quay):
    """The next request goes through another."""
    quay.make("first", "second")
    quay.server.answers["to/second"] = deque([None])
    assert [SENT] == quay.send("first")
    assert [SENT] == quay.send("second")
    assert quay.server.connections == 2


def test_an_answer_that_closes_is_heeded(quay):
    """Nothing more is sent through that connection."""
    quay.make("first", "second")
    quay.server.answers["to/first"] = deque([usual("200 OK", 'ETag: "x"', "Connection: close")])
    assert [SENT] == quay.send("first")
    assert [SENT] == quay.send("second")
    assert quay.server.connections == 2


def test_no_login_leaves_the_file(quay):
    """Whoever sends it is told the same, and what to do."""
    quay.make("a")
    quay.straight.refuses.add("to/a")
    assert [LEFT] == quay.send("a")
    assert quay.is_all_given_back()


def test_a_store_that_is_away_is_left_to_the_threads(quay):
    """At once, and for a while all of them, since each attempt takes its time."""
    quay.make("a", "b")
    quay.straight.way = quay.straight.way._replace(port=1)
    assert [LEFT, LEFT] == quay.send("a", "b")
    quay.straight.way = quay.straight.way._replace(port=quay.server.port)
    assert [LEFT] == quay.send("a")
    assert not quay.server.took


def test_a_store_without_usual_answers_is_asked_no_more(quay):
    """After so many in a row, the threads go on alone."""
    names = [f"{number:03}" for number in range(3 * MOST_UNUSUAL)]
    quay.make(*names)
    for name in names:
        quay.server.answers[f"to/{name}"] = deque([usual("501 Not Implemented")])
    assert [LEFT] * len(names) == quay.send(*names)
    assert len(quay.server.took) < len(names)


def test_a_stalled_request_is_cut(quay):
    """The file is left, the connection dropped."""
    quay.make("odd")
    quay.server.answers["to/odd"] = deque([b"HTTP/1.1 200"])
    assert [LEFT] == quay.send("odd")


# What the file is


def test_what_the_journal_has_is_not_sent(quay):
    """The same state under the same key."""
    quay.make("a")
    quay.send("a")
    quay.server.took.clear()
    assert [Outcome(Result.UNCHANGED)] == quay.send("a")
    assert not quay.server.took


def test_a_rewritten_file_is_sent_again(quay):
    """Another state is another object."""
    quay.make("a")
    quay.send("a")
    quay.make("a", body=b"new")
    assert [SENT] == quay.send("a")
    assert b"new" == quay.server.took["to/a"]


def test_a_file_that_is_gone_is_told_so(quay):
    """So is one whose directory is."""
    quay.make("dir/there")
    assert [Outcome(Result.GONE)] * 2 == quay.send("dir/gone", "nowhere/gone")


def test_a_young_state_waits(quay, monkeypatch):
    """A change within the kernel's clock tick would be invisible."""
    monkeypatch.setattr("sidecar.loading.REST_SECONDS", 1000.0)
    quay.make("a")
    [outcome] = quay.send("a", final=False)
    assert Result.CHANGED == outcome.result
    assert 0 < outcome.retry_after_seconds <= 1000.0
    assert not quay.server.took


def test_at_the_end_a_young_state_is_left_to_others(quay, monkeypatch):
    """They wait for it: whoever comes back later has lost its turn to larger ones."""
    monkeypatch.setattr("sidecar.loading.REST_SECONDS", 1000.0)
    quay.make("a")
    assert [None] == quay.send("a", final=True)


def test_what_is_as_long_as_it_was_is_left_to_others(quay):
    """They find out whether it is the same without sending it."""
    quay.make("a")
    assert [SENT] == quay.send("a")
    quay.make("a", body=b"9876543210")
    assert [None] == quay.send("a")
    quay.make("a", body=b"longer than it was")
    assert [SENT] == quay.send("a")


def test_main_may_still_write_what_the_bucket_has(quay):
    """No half of a file takes the place of a whole one; one that the bucket lacks is sent as it is."""
    quay.make("a", "b")
    assert [SENT] == quay.send("a")
    quay.make("a", body=b"half of")
    with open(quay.root / "a", "ab"), open(quay.root / "b", "ab"):
        quay.lane.hand([Handed("a", True, True, 0.0), Handed("b", True, True, 0.0)])
        assert [Outcome(Result.OPEN), SENT] == quay.outcomes("a", "b")


def test_what_the_journal_has_decides_on_another_connection_too(quay):
    """A half of a file that main writes takes no place of a whole one, however often it is begun."""
    quay.make("a")
    assert [SENT] == quay.send("a")
    quay.make("a", body=b"longer than it was")
    opened = []

    def write_half():
        opened.append(open(quay.root / "a", "r+b"))  # noqa: SIM115 - it stays open
        opened[0].truncate(4)
        rested = (quay.root / "a").stat().st_ctime + 2 * REST_SECONDS
        while time.time() < rested:
            threading.Event().wait(REST_SECONDS)

    quay.server.answers["to/a"] = deque([write_half])
    quay.lane.hand([Handed("a", True, True, 0.0)])
    [outcome] = quay.outcomes("a")
    opened[0].close()
    assert outcome in {LEFT, Outcome(Result.OPEN)}
    assert quay.server.took["to/a"] == b"0123456789"


def test_a_journal_that_cannot_be_read_leaves_all_to_others(quay, monkeypatch):
    """They say so, file by file; the lane goes on."""

    def fail(_paths):
        raise CannotWriteError("the journal can't be read")

    quay.make("a", "b")
    with monkeypatch.context() as patched:
        patched.setattr(quay.journal, "synced_of", fail)
        assert [LEFT, LEFT] == quay.send("a", "b")
    assert [SENT] == quay.send("a")


@pytest.mark.parametrize(("final", "result"), [(False, Result.OPEN), (True, Result.SENT)])
def test_a_file_that_is_open_for_writing_waits_for_its_close(quay, final, result):
    """But at the drain it is sent as it is."""
    quay.make("a")
    with (quay.root / "a").open("ab"):
        assert [Outcome(result)] == quay.send("a", final=final)


def test_a_file_that_changes_while_it_is_read_is_not_sent(quay, monkeypatch):
    """No object is made of two states."""
    quay.make("a")
    pread = os.pread

    def writing(descriptor, size_bytes, offset):
        body = pread(descriptor, size_bytes, offset)
        (quay.root / "a").write_bytes(b"9876543210")
        return body

    monkeypatch.setattr("sidecar.loading.os.pread", writing)
    assert [Outcome(Result.CHANGED)] == quay.send("a")
    assert not quay.server.took
    assert quay.is_all_given_back()


def test_a_file_replaced_while_it_is_sent_is_one_of_the_two(quay):
    """The object is what the journal says that it is."""
    quay.make("a")
    before = FileState.of((quay.root / "a").stat())
    replaced = threading.Event()

    class Replacing(deque):
        def popleft(self):
            (quay.root / "other").write_bytes(b"another file")
            (quay.root / "other").rename(quay.root / "a")
            replaced.set()
            return usual()

    quay.server.answers["to/a"] = Replacing([usual()])
    assert [SENT] == quay.send("a")
    assert replaced.is_set()
    assert b"0123456789" == quay.server.took["to/a"]
    assert before == quay.journal.synced("a").state


def odd_files(quay, tmp_path):
    quay.make("target", "dir/inside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(b"secret")
    (quay.root / "link").symlink_to("target")
    (quay.root / "linked").symlink_to(tmp_path / "outside")
    os.mkfifo(quay.root / "fifo")
    (quay.root / "large").write_bytes(bytes(FILE_BYTES + 1))


@pytest.mark.parametrize(
    "name", ["link", "linked/secret", "fifo", "large", "dir", os.fsdecode(b"\xff")]
)
def test_what_is_no_usual_file_is_left(quay, tmp_path, name):
    """Links, special files, large ones, and names that no key can have: the threads know what to say."""
    odd_files(quay, tmp_path)
    if not os.path.lexists(quay.root / name):
        (quay.root / name).write_bytes(b"x")
    assert [LEFT] == quay.send(name)
    assert not quay.server.took


def test_a_link_to_a_directory_inside_is_followed(quay):
    """What is below it is inside."""
    quay.make("dir/a")
    (quay.root / "also").symlink_to("dir")
    assert [SENT] == quay.send("also/a")
    assert b"0123456789" == quay.server.took["to/also/a"]


def test_a_path_with_an_open_upload_is_left(quay):
    """It was larger before: the threads abandon that upload."""
    quay.make("a")
    state = FileState.of((quay.root / "a").stat())
    quay.journal.intend("a", Key("to/a"), state, 1 << 20, 0.0)
    quay.journal.intend("gone", Key("to/gone"), state, 1 << 20, 0.0)
    assert [LEFT, LEFT] == quay.send("a", "gone")


def test_an_object_that_may_be_the_files_is_compared_first(quay):
    """By the threads, which read the file for it."""
    quay.make("a")
    quay.adopted.add("to/a")
    assert [LEFT] == quay.send("a")


def test_files_wait_for_memory(quay):
    """Nothing is read that the budget doesn't hold."""
    quay.make("a")
    held = quay.budget.take(quay.budget.limit_bytes)
    with held:
        quay.lane.hand([Handed("a", True, False, 0.0)])
        quay.loop.turn(0.2)
        assert not quay.server.took
    assert [SENT] == quay.outcomes("a")


def test_a_journal_that_cannot_be_written_leaves_the_files(quay, monkeypatch):
    """The threads name each of them."""
    quay.make("a")

    def full(_files):
        raise CannotWriteError("no space left")

    monkeypatch.setattr(quay.journal, "mark_synced", full)
    assert [LEFT] == quay.send("a")
    assert quay.tally.totals().files == quay.tally.totals().planned_files == 0


def test_a_lane_that_is_closed_ends(quay):
    """With what is under way; nobody is told of it, and what it had of memory is free."""
    quay.make("a")
    asked = threading.Event()

    class Silent(deque):
        def popleft(self):
            asked.set()
            return b""

    quay.server.answers["to/a"] = Silent([b""])
    quay.lane.hand([Handed("a", True, False, 0.0)])
    assert asked.wait(DEADLINE_SECONDS)
    quay.lane.close()
    assert not quay.lane.is_stuck
    assert quay.budget.take_now(quay.budget.limit_bytes)
    assert not quay.ended


def test_a_bug_is_raised_in_the_main_thread(quay, monkeypatch):
    """Nothing ends silently."""
    quay.make("a")

    def broken(_paths):
        raise ZeroDivisionError

    monkeypatch.setattr(quay.journal, "synced_of", broken)
    with pytest.raises(ZeroDivisionError):
        quay.send("a")


def test_files_are_sent_over_tls(tmp_path, authority):
    """The same over an encrypted connection, whose pieces are its own."""
    client = ssl.create_default_context(cafile=str(authority.ca_bundle))
    quay = Quay(tmp_path, authority.server, client)
    try:
        body = os.urandom(FILE_BYTES)
        quay.make("large", body=body)
        quay.make("a")
        assert [SENT, SENT] == quay.send("large", "a")
        assert body == quay.server.took["to/large"]
    finally:
        quay.close()
