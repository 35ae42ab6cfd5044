"""
Which state directories a hook in the sidecar's container means, found as the sidecar finds its own. Without
SQLite and whatever else takes its time to import, which a hook hasn't.
"""

import os
from typing import Final

from lighterman.flags import Flags

STATE_DIRECTORY: Final = ".lighterman"
"""Where the journal lives, below the outputs path, unless ``--state`` says otherwise."""
LOCK_NAME: Final = "journal.lock"
"""Held by whoever has the journal in the same directory open."""


def add_flags(flags: Flags) -> None:
    """The sidecar's flags that say where its state is."""
    flags.add("--path", metavar="DIR", help="the sidecar's outputs path")
    flags.add("--state", metavar="DIR", help="the sidecar's --state, if it has one")
    flags.add("--spec", metavar="FILE", help="a job spec whose outputs block says the path")


def states(path: str | None, state: str | None, spec: str | None) -> list[str] | None:
    """The state directory of each output that these flags mean; ``None`` if they mean nothing."""
    if path:
        paths = [path]
    elif spec:
        from lighterman.jobspec import load_job_spec

        paths = [output.path for output in load_job_spec(spec).outputs]
    else:
        return [os.path.realpath(state)] if state else None
    roots = [os.path.realpath(path) for path in paths]
    return [
        os.path.realpath(_said(state, roots, root) or os.path.join(root, STATE_DIRECTORY))
        for root in roots
    ]


def _said(state: str | None, roots: list[str], root: str) -> str | None:
    if state is None or len(roots) == 1:
        return state
    from sidecar.outputs import state_of

    return state_of(state, roots, root)


def is_held(state: str) -> bool:
    """
    Whether a process holds the journal there. Read, not tried: whoever takes a lock for a moment keeps a sidecar
    out that starts in it.
    """
    try:
        number = str(os.stat(os.path.join(state, LOCK_NAME)).st_ino)
        with open("/proc/locks", encoding="ascii") as locks:
            return any(line.split()[-3].rpartition(":")[2] == number for line in locks)
    except OSError:
        return False
