"""A job's outputs path, the place that they go to, and a sidecar between."""

import contextlib
import os
import threading
import time
from pathlib import Path

DEADLINE_SECONDS = 30.0
HIDDEN = (".lighterman-uploads", ".lighterman-tmp-")
"""What a volume has beside its objects."""


def eventually(condition, seconds=DEADLINE_SECONDS):
    """Look again and again until ``condition()`` is true; fails at the deadline."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s"
        pause.wait(0.02)


class Volume:
    """A directory as the place, looked at by plain file calls."""

    def __init__(self, root):
        self.root = Path(root)

    def contents(self, prefix=""):
        """Key to size; an empty directory is ``dir/``, what a volume hides is left out."""
        found = {}
        for directory, names, files in os.walk(self.root):
            names[:] = [name for name in names if not name.startswith(HIDDEN)]
            here = os.path.relpath(directory, self.root)
            if not names and not files and here != ".":
                found[f"{here}/"] = 0
            for name in files:
                path = Path(directory) / name
                if not name.startswith(HIDDEN):
                    # What is listed may be replaced before it is looked at.
                    with contextlib.suppress(FileNotFoundError):
                        found[os.path.relpath(path, self.root)] = path.stat().st_size
        return {key: size for key, size in sorted(found.items()) if key.startswith(prefix)}

    def keys(self, prefix=""):
        return list(self.contents(prefix))

    def get(self, key):
        return (self.root / key).read_bytes()

    def put(self, key, body):
        (self.root / key).parent.mkdir(parents=True, exist_ok=True)
        (self.root / key).write_bytes(body)

    def delete(self, key):
        (self.root / key).unlink()


class Outputs:
    """The outputs path ``path``, which goes to ``out/`` at ``place``."""

    def __init__(self, program, place, path):
        self.program = program
        self.place = place
        self.path = Path(path)
        self.path.mkdir(exist_ok=True)

    def flags(self, *more):
        return ("--connection", "bucket", "--path", self.path, "--to", "out", *more)

    def sidecar(self, *more, **popen):
        """A sidecar that has started and compared what was there."""
        running = self.program.start("sidecar", *self.flags(*more), **popen)
        running.wait_for_event("sidecar.reconciled")
        return running

    def sync(self, *more, **popen):
        return self.program.run("sync", *self.flags(*more), **popen)

    def run(self, *more, command, **popen):
        return self.program.run("run", *self.flags(*more), "--", *command, **popen)

    def write(self, name, text="x"):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def there(self, name):
        """The object's text, or ``None``."""
        if f"out/{name}" not in self.place.contents("out/"):
            return None
        return self.place.get(f"out/{name}").decode()

    def wait_for(self, name, text="x", seconds=DEADLINE_SECONDS):
        """Wait until the object has this text."""
        eventually(lambda: self.there(name) == text, seconds)

    def names(self):
        return sorted(key.removeprefix("out/") for key in self.place.keys("out/"))
