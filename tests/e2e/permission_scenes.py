"""All that jobs do to a bucket, for tests of what they need to be allowed: a reader's and a writer's life."""

import os

from kills import MIB
from outputs_place import Outputs
from servers.faults import Stall, is_part

LARGE_BYTES = 20 * MIB
AREA = "area"
"""The connection's prefix: its login may do nothing elsewhere in the bucket."""


class Scene:
    """The program with a login of few rights, through a proxy; ``owner`` is the place with all rights."""

    def __init__(self, program, owner, proxy, directory):
        self.program = program
        self.owner = owner
        self.proxy = proxy
        self.directory = directory
        self.outputs = Outputs(program, owner, directory / "outputs")
        self._before = []
        self.may_fail = False
        self.codes = []
        """What each command ended with."""

    def run(self, *arguments, code=0):
        finished = self.program.run(*arguments)
        self.codes.append(finished.code)
        assert self.may_fail or code == finished.code, finished.stdout + finished.stderr
        return finished

    @property
    def requests(self):
        """All that were made so far."""
        return self._before + self.proxy.seen()

    def _unspoil(self):
        self._before += self.proxy.seen()
        self.proxy.forget()

    def reads(self):
        """Init by dirs, by files and of what isn't there; verify; check."""
        self.owner.put(f"{AREA}/in/data/small.txt", b"small")
        self.owner.put(f"{AREA}/in/data/large.bin", os.urandom(LARGE_BYTES))
        place = ("--connection", "bucket")
        self.run("init", *place, "--dir", "in/data:data", "--to", "inputs")
        self.run("init", *place, "--file", "in/data/small.txt:one.txt", "--to", "inputs")
        self.run("init", *place, "--file", "in/nothing.txt", "--to", "inputs", code=66)
        self.run("verify", *place, "--dir", "in/data", "--path", "inputs/data", "--read")
        self.run("check", "bucket")

    def writes(self, *how):
        """
        Uploads whole and by parts, live files, copies, groups, mirrored deletes, conditions; killed in the
        middle of an upload, going on, giving up; verify; check.
        """
        self._grows_and_moves()
        self._is_killed()
        self.run("sync", *self.outputs.flags("--marker", "done.json", *how))
        self.run("verify", "--connection", "bucket", "--dir", "out", "--marker", "done.json")
        self.run("check", "bucket", "--write", "--to", "out")

    def _grows_and_moves(self):
        flags = ("--deletes", "mirror", "--group", "ckpt-*")
        outputs = self.outputs
        outputs.write("ckpt-1/weights.bin").write_bytes(os.urandom(LARGE_BYTES))
        outputs.write("metrics.bin", "m" * 300_000)
        live = outputs.write("train.log", "l" * 9 * MIB)
        self.run("sync", *outputs.flags(*flags))
        with live.open("a") as file:
            file.write("more")
        outputs.write("ckpt-1/note.txt", "changed")
        (outputs.path / "metrics.bin").rename(outputs.path / "final.bin")
        self.run("sync", *outputs.flags(*flags))
        (outputs.path / "final.bin").unlink()
        self.run("sync", *outputs.flags(*flags))

    def _is_killed(self):
        """One upload goes on where it stopped, another is given up, since its file changed."""
        for name in ("goes-on.bin", "changes.bin"):
            place = self.outputs.write(name)
            place.write_bytes(os.urandom(LARGE_BYTES))
            self.proxy.on(is_part, Stall(), times=None, skip=1)
            running = self.program.start("sync", *self.outputs.flags("--workers", "1"))
            self.proxy.wait_for(lambda request: is_part(request) and request.status is None)
            running.kill()
            self._unspoil()
            if name == "changes.bin":
                place.write_bytes(os.urandom(LARGE_BYTES))
            self.run("sync", *self.outputs.flags())
