"""``lighterman mark-stop``: what a preStop hook runs, so that the sidecar knows when the grace began."""

import os
from argparse import Namespace
from pathlib import Path
from typing import Final

from lighterman.command import Context
from lighterman.errors import CannotWriteError, ExitCode, UsageError
from lighterman.flags import Flags
from lighterman.log import get_logger
from sidecar import stop_mark
from sidecar.globs import STATE_DIRECTORY

_LOCK_NAME: Final = "journal.lock"
"""As ``sidecar.journal_file`` has it, which brings SQLite along: a hook has no time for that."""


def configure(flags: Flags) -> None:
    """Add mark-stop's flags, which are the sidecar's that say where its state is."""
    flags.add("--path", metavar="DIR", help="the sidecar's outputs path")
    flags.add("--state", metavar="DIR", help="the sidecar's --state, if it has one")
    flags.add("--spec", metavar="FILE", help="a job spec whose outputs block says the path")


def run(arguments: Namespace, context: Context) -> int:  # noqa: ARG001 - every command is called so
    """
    Note that the stop begins now. 0 without a sidecar too, since a hook that fails helps nobody;
    ``CannotWriteError`` if a mark is wanted and can't be left, ``UsageError`` if nothing says where.
    """
    for state in _states(arguments):
        if not os.path.isdir(state) and not os.path.isdir(os.path.dirname(state)):
            get_logger().warning(
                "mark_stop.no_sidecar", state=state, hint="no sidecar has made that directory yet"
            )
            continue
        try:
            stop_mark.leave(state)
        except OSError as error:
            raise CannotWriteError(
                f"can't note the stop in {state}: {error.strerror or error}",
                hint="run the hook in the sidecar's own container, as its user",
            ) from error
        is_held = _is_held(os.path.join(state, _LOCK_NAME))
        get_logger().info("mark_stop.noted", state=state, sidecar_runs=is_held)
    return ExitCode.DONE


def _states(arguments: Namespace) -> list[str]:
    """The state directories that are meant, as the sidecar finds its own."""
    if arguments.path:
        paths = [arguments.path]
    elif arguments.spec:
        from lighterman.jobspec import load_job_spec

        paths = [output.path for output in load_job_spec(arguments.spec).outputs]
    elif arguments.state:
        return [os.path.realpath(arguments.state)]
    else:
        raise UsageError(
            "nothing says where the sidecar's state is",
            hint="--path or --state as the sidecar has it, or the outputs block of a --spec",
        )
    from sidecar.outputs import state_of

    roots = [os.path.realpath(path) for path in paths]
    said = [state_of(arguments.state, roots, root) for root in roots]
    return [
        os.path.realpath(state or os.path.join(root, STATE_DIRECTORY))
        for state, root in zip(said, roots, strict=True)
    ]


def _is_held(lock: str) -> bool:
    """
    Whether a process holds the journal. Read, not tried: whoever takes a lock for a moment keeps a sidecar
    out that starts in it.
    """
    try:
        number = str(os.stat(lock).st_ino)
        held = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return False
    return any(line.split()[-3].rpartition(":")[2] == number for line in held)
