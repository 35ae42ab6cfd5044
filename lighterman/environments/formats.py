"""An environment as text that shells, env files and programs read."""

import json
import re
import shlex
from typing import Final, Literal, TypeAlias

from lighterman.environments.environment import Environment
from lighterman.secret import MASK, Secret

Format: TypeAlias = Literal["shell", "dotenv", "json"]

_PLAIN: Final = re.compile(r"[A-Za-z0-9_@%+=:,./?&-]*")
"""Values that mean themselves in every dialect of env files."""


def printed(environment: Environment, style: Format, *, reveal: bool) -> str:
    """
    The text, with a line end. Secrets are masked unless ``reveal``: in JSON as values, else as comments, so
    that no mask is ever taken for a key.
    """
    if style == "json":
        values = {
            name: _value(value, reveal=reveal) for name, value in environment.variables.items()
        }
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    lines = []
    if style == "shell" and environment.unset:
        lines.append(f"unset {' '.join(environment.unset)}")
    for name, value in environment.variables.items():
        if isinstance(value, Secret) and not reveal:
            lines.append(f"# {name}={MASK} (--reveal prints it)")
        elif style == "shell":
            lines.append(f"export {name}={shlex.quote(_value(value, reveal=True))}")
        else:
            lines.append(f"{name}={_dotenv(_value(value, reveal=True))}")
    return "".join(f"{line}\n" for line in lines)


def _value(value: str | Secret, *, reveal: bool) -> str:
    if isinstance(value, Secret):
        return value.reveal() if reveal else MASK
    return value


def _dotenv(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    if not any(mark in value for mark in "'\n\r"):
        return f"'{value}'"
    escaped = re.sub(r'([\\"$`])', r"\\\1", value).replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
