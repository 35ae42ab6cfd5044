"""``lighterman mark-stop``: what a preStop hook runs, so that the sidecar knows when the grace began."""

import os
from argparse import Namespace

from lighterman.command import Context
from lighterman.errors import CannotWriteError, ExitCode, UsageError
from lighterman.flags import Flags
from lighterman.log import get_logger
from sidecar import stop_mark, where


def configure(flags: Flags) -> None:
    """Add mark-stop's flags, which are the sidecar's that say where its state is."""
    where.add_flags(flags)


def run(arguments: Namespace, context: Context) -> int:  # noqa: ARG001 - every command is called so
    """
    Note that the stop begins now. 0 without a sidecar too, since a hook that fails helps nobody;
    ``CannotWriteError`` if a mark is wanted and can't be left, ``UsageError`` if nothing says where.
    """
    states = where.states(arguments.path, arguments.state, arguments.spec)
    if states is None:
        raise UsageError(
            "nothing says where the sidecar's state is",
            hint="--path or --state as the sidecar has it, or the outputs block of a --spec",
        )
    for state in states:
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
        get_logger().info("mark_stop.noted", state=state, sidecar_runs=where.is_held(state))
    return ExitCode.DONE
