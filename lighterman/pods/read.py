"""A job spec as ``render`` takes it: read whole and strictly, Lighterman's own blocks by the jobs' own readers."""

import re
from argparse import Namespace
from typing import Any, Final, NamedTuple, NoReturn

import msgspec

from initializer.command import entries_of
from initializer.entries import Entry
from lighterman.document import read_document
from lighterman.errors import ConfigurationError, UsageError
from lighterman.jobspec import JobSpec, job_spec
from lighterman.pods.documents import Environment, Lighterman, Own, Run, Termination, Top
from lighterman.strict import decode, fail, suggestion, under

BLOCKS: Final = ("init", "connections", "outputs")
"""Lighterman's own, which may stand at the top beside a run block, too."""
COMPLETION_INDEX: Final = "JOB_COMPLETION_INDEX"
"""What Kubernetes sets in every container of an Indexed Job."""
LONGEST_NAME: Final = 52
"""Of a Job: its name is a label of its pods, of 63 characters at most, and the ConfigMap's is longer by eleven."""
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_VARIABLE: Final = re.compile(r"\$(?:(\w+)|\{(\w+)\}|\((\w+)\))", re.ASCII)


class Written(NamedTuple):
    """A job spec, read; and where what stood, for errors."""

    origin: str
    name: str
    top: Top
    run: Run
    run_place: str
    """``run``, or nothing: where the main container is described."""
    blocks: dict[str, Any]
    """Lighterman's own blocks as they were written: what its containers read."""
    block_places: dict[str, str]
    spec: JobSpec
    entries: tuple[Entry, ...] = ()
    """What init would bring, by init's own reader; in the order of ``spec.init``."""

    @property
    def environment(self) -> Environment:
        """What is said of the pod."""
        return self.run.environment or Environment()

    @property
    def own(self) -> Lighterman:
        """What is said of Lighterman's containers."""
        return self.run.lighterman or Lighterman()

    @property
    def own_init(self) -> Own:
        """What is said of the init container."""
        return self.own.init or Own()

    @property
    def own_sidecar(self) -> Own:
        """What is said of the sidecar."""
        return self.own.sidecar or Own()

    @property
    def termination(self) -> Termination:
        """What is said of the Job's end by Polyaxon's names."""
        return self.top.termination or Termination()

    @property
    def is_indexed(self) -> bool:
        """Whether pods have an index of their own."""
        return self.run.completions is not None

    def place(self, *steps: str | int) -> str:
        """Where a member of the run block stands."""
        return under(self.run_place, *steps)

    def entry_place(self, index: int, *steps: str) -> str:
        """Where an init entry, or a member of it, stands."""
        return under(self.block_places["init"], index, *steps)

    def output_place(self, index: int, *steps: str) -> str:
        """Where one of the outputs, or a member of it, stands."""
        place = self.block_places["outputs"]
        if isinstance(self.blocks["outputs"], list):
            return under(place, index, *steps)
        return under(place, *steps)

    def fail(self, place: str, what: str, hint: str) -> NoReturn:
        """Refuse what stands at ``place``."""
        fail(self.origin, place, what, hint)


def read_job(path: str, name: str | None = None) -> Written:
    """
    The job spec in a file, of a Job called ``name`` if not as it says itself. ``ConfigurationError`` names the
    place of what is off in it.
    """
    data = read_document(path, what="job spec")
    spec = job_spec(data, path)
    members = decode(data, dict[str, object], path)
    top_names, run_names = _names(Top), _names(Run)
    has_run = members.get("run") is not None
    allowed = [*top_names, *(BLOCKS if has_run else [one for one in run_names if one != "kind"])]
    for member in members:
        if member not in allowed:
            _unknown(member, path, allowed, run_names if has_run else [])
    top = decode({one: members[one] for one in members if one in top_names}, Top, path)
    at_top = {one: members[one] for one in members if one not in top_names}
    run = _run(top.run, at_top, path) if has_run else _decoded(at_top, path, "")
    under_run = decode(top.run, dict[str, object], path, "run") if has_run else {}
    said = {one: at_top.get(one, under_run.get(one)) for one in BLOCKS}
    written = Written(
        origin=path,
        name=_checked_name(name or top.name, "--name" if name else f"{path}: name"),
        top=top,
        run=run,
        run_place="run" if has_run else "",
        blocks={one: value for one, value in said.items() if value is not None},
        block_places={one: one if one in at_top or not has_run else f"run.{one}" for one in BLOCKS},
        spec=spec,
    )
    return written._replace(entries=_entries(written))


def _names(type_: type[msgspec.Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(type_)]


def _unknown(member: str, origin: str, allowed: list[str], run_names: list[str]) -> NoReturn:
    if member in run_names:
        fail(origin, member, "stands beside run", "move it under run")
    fail(origin, member, "unknown field", suggestion(member, allowed, "valid fields"))


def _run(data: object, at_top: dict[str, object], origin: str) -> Run:
    members = decode(data, dict[str, object], origin, "run")
    if members.get("kind", "job") != "job":
        fail(origin, "run.kind", "render makes Jobs only", "write kind: job")
    return _decoded({**members, **at_top}, origin, "run")


def _decoded(members: dict[str, object], origin: str, place: str) -> Run:
    return decode(members, Run, origin, place)


def _checked_name(name: str | None, place: str) -> str:
    if not name:
        raise ConfigurationError(
            f"{place}: missing", hint="give the Job a name, there or with --name"
        )
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise ConfigurationError(
            f"{place}: {name!r} is no name of a Job",
            hint=f"small letters, digits and dashes, at most {LONGEST_NAME}, no dash at its ends",
        )
    return name


def entry_variables(written: Written) -> list[str]:
    """Variables that say what an entry brings, or where to."""
    numbers = [
        number
        for entry in written.spec.init or ()
        if entry.shard
        for number in (entry.shard.index, entry.shard.count)
    ]
    return ["LIGHTERMAN_ARTIFACTS", *filter(None, map(_variable, numbers))]


def _variable(number: str) -> str:
    """The variable that a shard's number is; nothing, if it is a number."""
    match = _VARIABLE.fullmatch(number)
    return next(filter(None, match.groups())) if match else ""


def _entries(written: Written) -> tuple[Entry, ...]:
    if written.spec.init is None:
        return ()
    environ = dict(written.own_init.env or {})
    if written.is_indexed:
        environ[COMPLETION_INDEX] = "0"
    for index, entry in enumerate(written.spec.init):
        if entry.shard is not None:
            place = written.entry_place(index, "shard")
            _check_shard(written, place, (entry.shard.index, entry.shard.count), environ)
    return tuple(entries_of(written.spec, _arguments(written, environ), environ))


def _arguments(written: Written, environ: dict[str, str]) -> Namespace:
    """What init is told in the pod."""
    from lighterman.cli import parsed

    try:
        return parsed("init", ["init", "--spec", written.origin], environ)
    except UsageError as error:
        written.fail(written.place("lighterman", "init", "env"), error.message, error.hint)


def _check_shard(
    written: Written, place: str, numbers: tuple[str, str], environ: dict[str, str]
) -> None:
    for number, field in zip(numbers, ("index", "count"), strict=True):
        name = _variable(number)
        if name == COMPLETION_INDEX and not written.is_indexed:
            written.fail(
                under(place, field),
                f"{number} is set in Indexed Jobs only",
                f"say how many pods there are: {written.place('completions')}",
            )
        if name and name not in environ:
            written.fail(
                under(place, field),
                f"{number} isn't set in the init container",
                f"set it in {written.place('lighterman', 'init', 'env')}, or write a number",
            )
    completions = written.run.completions
    if COMPLETION_INDEX in numbers[0] and numbers[1].isdecimal() and int(numbers[1]) != completions:
        written.fail(
            under(place, "count"),
            f"{numbers[1]} shards for {completions} completions",
            f"write {completions}: each pod brings one shard, and none may be left over",
        )
