"""
Globs as gitignore writes them (https://git-scm.com/docs/gitignore#_pattern_format): a pattern without
a slash matches a name at any depth, one with a slash is anchored at the root, ``**`` spans
directories, a slash at the end means directories only, ``!`` takes back, and the last match decides.
What lies below a matched directory is matched too, and can't be taken back.
"""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from lighterman.errors import LightermanError, UsageError


class _Rule(NamedTuple):
    matches: Callable[[str], object]
    is_of_name: bool
    """It is asked about the last component alone, which is many times cheaper."""
    directories_only: bool
    taken_back: bool


class Globs:
    """
    Patterns, compiled once. ``origin`` is the flag or the field that is named, and ``error`` what is raised,
    when a pattern is off.
    """

    def __init__(
        self,
        patterns: Iterable[str],
        origin: str = "",
        *,
        error: type[LightermanError] = UsageError,
    ) -> None:
        self._rules: list[_Rule] = []
        for pattern in patterns:
            self._add(pattern, origin, error)

    def _add(self, pattern: str, origin: str, error: type[LightermanError]) -> None:
        text = pattern
        taken_back = text.startswith("!")
        text = text[1:] if taken_back else text
        directories_only = text.endswith("/")
        text = text.removesuffix("/")
        if not text:
            raise error(
                f"{origin or 'a glob'}: {pattern!r} matches nothing",
                hint="write a glob like *.ckpt, cache/ or /runs/**/debug",
            )
        at_any_depth = text.removeprefix("**/")  # with and without these it means the same
        is_of_name = "/" not in at_any_depth
        body = _expression(at_any_depth if is_of_name else text.removeprefix("/"))
        matches = re.compile(body, re.DOTALL).fullmatch
        self._rules.insert(0, _Rule(matches, is_of_name, directories_only, taken_back))

    def __bool__(self) -> bool:
        return bool(self._rules)

    def matches(self, path: str, *, directory: bool = False) -> bool:
        """Whether this very entry is matched; the directories above it are not asked."""
        name = path[path.rfind("/") + 1 :]
        for matches, is_of_name, directories_only, taken_back in self._rules:
            if (directory or not directories_only) and matches(name if is_of_name else path):
                return not taken_back
        return False

    def covers(self, path: str, *, directory: bool = False) -> bool:
        """Whether the entry, or a directory above it, is matched."""
        if not self._rules:
            return False
        slash = path.find("/")
        while slash != -1:
            if self.matches(path[:slash], directory=True):
                return True
            slash = path.find("/", slash + 1)
        return self.matches(path, directory=directory)


def _expression(glob: str) -> str:
    """A glob as a regular expression."""
    parts: list[str] = []
    at = 0
    while at < len(glob):
        rest = glob[at:]
        starts_segment = at == 0 or glob[at - 1] == "/"
        if starts_segment and rest.startswith("**/"):
            parts.append("(?:[^/]+/)*")
            at += 3
        elif starts_segment and rest == "**":
            parts.append(".+")
            at += 2
        elif rest[0] == "*":
            parts.append("[^/]*")
            at += len(rest) - len(rest.lstrip("*"))
        elif rest[0] == "?":
            parts.append("[^/]")
            at += 1
        elif rest[0] == "[" and (bracket := _bracket(rest)):
            expression, length = bracket
            parts.append(expression)
            at += length
        elif rest[0] == "\\" and len(rest) > 1:
            parts.append(re.escape(rest[1]))
            at += 2
        else:
            parts.append(re.escape(rest[0]))
            at += 1
    return "".join(parts)


def _bracket(text: str) -> tuple[str, int] | None:
    """The class that ``text`` starts with, and its length; ``None`` where the bracket is never closed."""
    inside = 2 if text[1:2] in ("!", "^") else 1
    end = text.find("]", inside + 1)
    if end == -1:
        return None
    members = _members(text[inside:end])
    if members is None:  # a range that runs backwards: the bracket is an ordinary character
        return None
    negation = "^/" if inside == 2 else ""
    return f"(?!/)[{negation}{members}]", end + 1


def _members(text: str) -> str | None:
    """The characters and ranges of a class, each escaped; ``None`` if a range runs backwards."""
    members: list[str] = []
    at = 0
    while at < len(text):
        first, last = text[at], text[at + 2 : at + 3]
        if last and text[at + 1] == "-":
            if first > last:
                return None
            members.append(f"{re.escape(first)}-{re.escape(last)}")
            at += 3
        else:
            members.append(re.escape(first))
            at += 1
    return "".join(members)
