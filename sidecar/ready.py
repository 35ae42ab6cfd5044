"""
``lighterman ready``: what a startup probe or a health check runs. It asks whether the sidecar has its journal
and its watches, and never for the store: a store that is away is no reason to keep main from starting.
"""

from argparse import Namespace
from typing import Final

from lighterman.command import Context
from lighterman.errors import ExitCode, TransientError, UsageError
from lighterman.flags import Flags, seconds, variable_of
from sidecar import ready_mark, where

WATCHING: Final = ("sidecar", "run")
"""The commands that watch. Any other is well as long as it runs."""
LOOK_SECONDS: Final = 0.1
"""How often it is looked for while it is waited for."""


def configure(flags: Flags) -> None:
    """Add ready's flags: the sidecar's that say where its state is, and how long it may take."""
    where.add_flags(flags)
    flags.add(
        "--wait",
        convert=seconds,
        default=0.0,
        metavar="SECONDS",
        help="wait so long for it, as a postStart hook does before the next container starts",
    )


def run(arguments: Namespace, context: Context) -> int:
    """
    0 if the sidecar of each output is ready, ``TransientError`` that says what the first lacks; ``UsageError``
    if nothing says which sidecar is meant.
    """
    states = _states(arguments, context)
    if states is None:
        raise UsageError(
            "nothing says which sidecar is meant",
            hint="--path, --state or --spec as the sidecar has it; without them, this container's first "
            "process has to be lighterman",
        )
    deadline = context.clock.monotonic() + arguments.wait
    while lack := next(filter(None, map(_lack_of, states)), ""):
        left_seconds = deadline - context.clock.monotonic()
        if left_seconds <= 0 or context.clock.wait(min(LOOK_SECONDS, left_seconds), context.stop):
            raise TransientError(lack, hint="it may be starting: ask again, and look at its log")
    return ExitCode.DONE


def _states(arguments: Namespace, context: Context) -> list[str] | None:
    """What the flags say; else what the container was started with; else what the variables say."""
    said = {name: getattr(arguments, name) for name in ("path", "state", "spec")}
    variables = {name: context.environ.get(variable_of(f"--{name}")) for name in said}
    if said == variables:
        from lighterman.cli import COMMANDS
        from sidecar import first_process as first

        if begun := first.started(first.first_line(), COMMANDS):
            if begun.command not in WATCHING:
                return []
            environ = first.first_environ(context.environ)
            return first.states_of(begun.arguments, environ, first.first_directory())
    return where.states(**said)


def _lack_of(state: str) -> str:
    """What a sidecar of that state directory lacks to be ready; nothing if it is."""
    if ready_mark.is_left(state):
        return ""
    if where.is_held(state):
        return f"the sidecar with the journal in {state} has not set its watches yet"
    return f"no sidecar has the journal in {state} open"
