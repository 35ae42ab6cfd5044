"""What a container was started with, as its first process tells: the command, and the flags of its sidecar."""

import os
from argparse import Namespace
from collections.abc import Container, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from lighterman.flags import Flags, Parser
from sidecar import where

PROGRAMS: Final = ("lighterman", "entrypoint.sh")
"""``python -m lighterman``, the script of that name, and the image's entry, which becomes the first."""


class Started(NamedTuple):
    """A command line of this program."""

    command: str
    arguments: Sequence[str]
    """Up to ``--``."""


def started(line: Sequence[str], commands: Container[str]) -> Started | None:
    """
    What a process that was called so runs of this program; ``None`` if nothing. Whoever comes before it, as an
    interpreter, or an init process that starts it, passes its command line on.
    """
    for place, (program, command) in enumerate(pairwise(line), 2):
        if os.path.basename(program) in PROGRAMS and command in commands:
            arguments = list(line[place:])
            end = arguments.index("--") if "--" in arguments else len(arguments)
            return Started(command, arguments[:end])
    return None


def states_of(
    arguments: Sequence[str], environ: Mapping[str, str], directory: str
) -> list[str] | None:
    """The state directories of a sidecar of these arguments and variables that was started in ``directory``."""
    parser = Parser(add_help=False, allow_abbrev=False)
    where.add_flags(Flags(parser, environ))
    said, _ = parser.parse_known_args(arguments)
    return where.states(*(_below(directory, said, name) for name in ("path", "state", "spec")))


def _below(directory: str, said: Namespace, name: str) -> str | None:
    value: str | None = getattr(said, name)
    return os.path.join(directory, value) if value else None


def first_line() -> list[str]:
    """How the container's first process was called."""
    return _texts("cmdline")


def first_environ(otherwise: Mapping[str, str]) -> Mapping[str, str]:
    """Its variables; ``otherwise`` where they are hidden, as from another uid."""
    found = dict(text.split("=", 1) for text in _texts("environ") if "=" in text)
    return found or otherwise


def first_directory() -> str:
    """Where it was started."""
    try:
        return os.readlink("/proc/1/cwd")
    except OSError:
        return os.getcwd()


def _texts(name: str) -> list[str]:
    """A file of ``/proc/1`` that holds texts, each ended by a NUL; none if it can't be read."""
    try:
        return os.fsdecode(Path("/proc/1", name).read_bytes()).split("\0")[:-1]
    except OSError:
        return []
