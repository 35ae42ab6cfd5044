"""Which keys can be placed below a destination, and which two can't be there together. Pure."""

import os
import re
from typing import Final, NamedTuple

STATE_DIRECTORY: Final = ".lighterman"
"""At a destination's root, where init and the sidecar keep what they know."""
TEMPORARY: Final = re.compile(r"\.lighterman-[0-9a-f]{16}\.tmp")
"""Names of files on their way into their place: ``.lighterman-<hash of the path>.tmp``."""
MOST_COMPONENT_BYTES: Final = 255
"""NAME_MAX of Linux's filesystems: https://man7.org/linux/man-pages/man7/path_resolution.7.html"""
MOST_PATH_BYTES: Final = 4095 - 34
"""PATH_MAX without its closing NUL, less the room that a temporary name beside the place may need."""
_PLAIN: Final = re.compile(
    rf"[^/\0.][^/\0]{{0,{MOST_COMPONENT_BYTES // 4 - 1}}}+"
    rf"(?:/[^/\0.][^/\0]{{0,{MOST_COMPONENT_BYTES // 4 - 1}}}+)*+/?"
)
"""Nearly all keys: no component begins with a dot, or could be too long. The others are looked at one by one."""


def why_unsafe(relative: str) -> str | None:
    """
    Why nothing may be placed at ``relative``; ``None`` when it is safe. A directory's marker ends with
    one slash; the empty path is the destination itself and safe.
    """
    if not relative or _PLAIN.fullmatch(relative):
        return None
    if relative.startswith("/"):
        return "it is absolute"
    if "\0" in relative:
        return "it holds a NUL"
    for component in relative.removesuffix("/").split("/"):
        reason = _why_no_component(component)
        if reason:
            return reason
    return None


def _why_no_component(component: str) -> str | None:
    if component in ("", "."):
        return "it has an empty or '.' component"
    if component == "..":
        return "it has a '..' component"
    if len(component) > MOST_COMPONENT_BYTES // 4 and _too_long(component):
        return f"it has a component of more than {MOST_COMPONENT_BYTES} bytes"
    if component.startswith(STATE_DIRECTORY) and TEMPORARY.fullmatch(component):
        return "its name is reserved for files under way"
    return None


def _too_long(component: str) -> bool:
    return len(os.fsencode(component)) > MOST_COMPONENT_BYTES


def why_path_refused(path: str, roots: frozenset[str]) -> str | None:
    """
    Why nothing may be placed at an absolute path that is safe below its root: too long, or inside the
    state directory of any of the destinations.
    """
    if len(path) > MOST_PATH_BYTES // 4 and len(os.fsencode(path)) > MOST_PATH_BYTES:
        return f"its path is longer than {MOST_PATH_BYTES} bytes"
    marker = f"/{STATE_DIRECTORY}"
    at = path.find(marker)
    while at >= 0:
        if path[at + len(marker) : at + len(marker) + 1] in ("", "/") and path[:at] in roots:
            return f"the name {STATE_DIRECTORY} is reserved at a destination's root"
        at = path.find(marker, at + 1)
    return None


class Clash(NamedTuple):
    """What is already planned at a path, or as a file where a directory is needed."""

    path: str
    owner: tuple[int, str]


class Clashes:
    """
    Finds two things that can't be in one tree, in memory for one path's depth. Fed in byte order.

    Whatever can still clash with a path is a prefix of it: so a stack of prefixes is enough, although
    ``a`` and ``a/b`` aren't neighbours in ``a``, ``a-x``, ``a/b``.
    """

    def __init__(self) -> None:
        self._candidates: list[Clash] = []

    def add(self, path: str, owner: tuple[int, str]) -> Clash | None:
        """
        The earlier path that ``path`` clashes with: the same file twice, or a file where a directory is
        needed. A path that clashes isn't kept. The same directory twice is no clash. ``owner`` is
        whatever tells where the path comes from: a store's number and a key.
        """
        candidates = self._candidates
        while candidates and not path.startswith(candidates[-1].path):
            candidates.pop()
        for candidate in candidates:
            earlier = candidate.path
            if earlier.endswith("/"):
                continue
            if len(earlier) == len(path) or path[len(earlier)] == "/":
                return candidate
        candidates.append(Clash(path, owner))
        return None
