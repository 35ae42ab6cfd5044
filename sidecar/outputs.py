"""The outputs block of a job spec, and the flags that say the same."""

import difflib
from argparse import Namespace
from pathlib import Path
from typing import Any

import msgspec

from lighterman.errors import ConfigurationError, UsageError

_FIELDS = ("connection", "path", "to")


class Outputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which path goes where."""

    connection: str
    path: str
    to: str = ""


def outputs_of(arguments: Namespace) -> Outputs:
    """What the flags say, else what ``--spec`` says. ``UsageError`` where neither does."""
    said: dict[str, Any] = {}
    if arguments.spec:
        said = _block_of(arguments.spec)
    for field in _FIELDS:
        value = getattr(arguments, field)
        if value is not None:
            said[field] = value
    for field in ("connection", "path"):
        if not said.get(field):
            raise UsageError(
                f"no {field} is given", hint=f"--{field}, or the outputs block of a --spec"
            )
    return Outputs(said["connection"], said["path"], said.get("to", ""))


def _block_of(file: str) -> dict[str, Any]:
    """The one outputs block of a spec, checked; ``ConfigurationError`` names what is off."""
    import yaml

    try:
        spec = yaml.safe_load(Path(file).read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"can't read job spec {file}: {error.strerror}", hint="--spec names a YAML or JSON file"
        ) from error
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = f", line {place.line + 1}" if place else ""
        raise ConfigurationError(
            f"job spec {file}{where} is no YAML", hint=getattr(error, "problem", "") or ""
        ) from error
    run = spec.get("run") if isinstance(spec, dict) else None
    holder, place_name = (run, "run.outputs") if isinstance(run, dict) else (spec, "outputs")
    if isinstance(holder, dict) and "outputs" not in holder and isinstance(spec, dict):
        holder, place_name = spec, "outputs"
    block = holder.get("outputs") if isinstance(holder, dict) else None
    if isinstance(block, list):
        if len(block) > 1:
            raise ConfigurationError(
                f"job spec {file}: {place_name} has {len(block)} entries; more than one isn't there yet",
                hint="run one sidecar for each",
            )
        block, place_name = (block[0] if block else None), f"{place_name}[0]"
    if not isinstance(block, dict):
        raise ConfigurationError(
            f"job spec {file} has no outputs block",
            hint="outputs: {connection: NAME, path: DIR, to: PREFIX}",
        )
    return _checked(block, f"job spec {file}: {place_name}")


def _checked(block: dict[str, Any], place: str) -> dict[str, Any]:
    for field in block:
        if field not in _FIELDS:
            close = difflib.get_close_matches(str(field), _FIELDS, n=1)
            raise ConfigurationError(
                f"{place} has an unknown field {field!r}",
                hint=f"did you mean {close[0]}?" if close else f"fields: {', '.join(_FIELDS)}",
            )
    try:
        msgspec.convert({"connection": "", "path": "", **block}, Outputs)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{place}: {error}", hint="all three are text") from error
    return dict(block)
