"""Which outputs path goes where: what the flags say, and the outputs block of a job spec."""

import hashlib
import os
from argparse import Namespace
from collections.abc import Sequence
from itertools import combinations

from lighterman.errors import ConfigurationError, UsageError
from lighterman.jobspec import Output, load_job_spec


def outputs_of(arguments: Namespace) -> tuple[Output, ...]:
    """
    What ``--spec`` says, and the flags, which win over its only block. ``UsageError`` where neither says
    enough, or where flags would have to choose among several blocks.
    """
    blocks = _blocks_of(arguments.spec) if arguments.spec else (Output(connection="", path=""),)
    if len(blocks) > 1:
        for field in ("connection", "path", "to"):
            if getattr(arguments, field) is not None:
                raise UsageError(
                    f"--{field} beside {len(blocks)} outputs of --spec {arguments.spec}",
                    hint=f"say {field} in each of them, and leave --{field} out",
                )
        return blocks
    (block,) = blocks
    said = Output(
        connection=_first(arguments.connection, block.connection),
        path=_first(arguments.path, block.path),
        to=_first(arguments.to, block.to),
    )
    for field in ("connection", "path"):
        if not getattr(said, field):
            raise UsageError(
                f"no {field} is given", hint=f"--{field}, or the outputs block of a --spec"
            )
    return (said,)


def check_paths_apart(real_paths: Sequence[str]) -> None:
    """Each file belongs to one output: one path at or below another is refused (78), by name."""
    for one, other in combinations(real_paths, 2):
        if is_within(one, other) or is_within(other, one):
            raise ConfigurationError(
                f"two outputs share {one if is_within(one, other) else other}: {one} and {other}",
                hint="give each output a path of its own, none below another",
            )


def check_places_apart(places: Sequence[tuple[str, str]]) -> None:
    """As ``check_paths_apart``, for where outputs go: each a store's destination and a prefix."""
    for (one, prefix), (other, its_prefix) in combinations(places, 2):
        if one != other:
            continue
        if is_within(prefix, its_prefix) or is_within(its_prefix, prefix):
            raise ConfigurationError(
                f"two outputs go to the same place: {one} has {prefix or 'all'} "
                f"and {its_prefix or 'all'}",
                hint="give each output a prefix of its own (to), none below another",
            )


def is_within(path: str, top: str) -> bool:
    """Whether a path or prefix is ``top`` or below it; nothing at all is everything."""
    return not top or path == top or path.startswith(top.rstrip("/") + "/")


def state_of(state: str | None, real_paths: Sequence[str], root: str) -> str | None:
    """
    ``--state`` for the output at ``root``: of several, each has a directory of its own in it.
    ``UsageError`` if that would be in one of the outputs, where another would sync it.
    """
    if state is None or len(real_paths) == 1:
        return state
    real_state = os.path.realpath(state)
    for path in real_paths:
        if is_within(real_state, path):
            raise UsageError(
                f"--state {state} is in the outputs path {path}, and several outputs have their "
                "journals there",
                hint="give a directory outside of all outputs, or leave --state out",
            )
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return os.path.join(state, f"{os.path.basename(root)[:64]}-{digest}")


def _first(flag: str | None, otherwise: str) -> str:
    return otherwise if flag is None else flag


def _blocks_of(file: str) -> tuple[Output, ...]:
    """The outputs of a spec. ``ConfigurationError`` if there are none."""
    outputs = load_job_spec(file).outputs
    if not outputs:
        raise ConfigurationError(
            f"job spec {file} has no outputs block",
            hint="outputs: {connection: NAME, path: DIR, to: PREFIX}",
        )
    return outputs
