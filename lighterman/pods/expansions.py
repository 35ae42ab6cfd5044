"""The variables that a mount's ``subPathExpr`` is made of: a container that has the mount needs them too."""

import re
from collections.abc import Iterable
from typing import Any, Final

from lighterman.pods.documents import plain
from lighterman.pods.logins import Parts
from lighterman.pods.read import COMPLETION_INDEX, Written

_REFERENCE: Final = re.compile(r"(?<!\$)\$\(([^()$]+)\)")


def add_expansions(written: Written, parts: Parts) -> None:
    """Give a container main's variables that its mounts refer to. ``ConfigurationError`` where main's env hasn't one."""
    env = {one.name: plain(one) for one in written.run.container.env or ()}
    needed: set[str] = set()
    for mount in parts.mounts:
        _collect(written, env, _references([mount.sub_path_expr]), needed)
    for name, variable in env.items():
        if name not in needed:
            continue
        if any(other["name"] == name and other != variable for other in parts.env):
            _fail(written, name, "means something else in Lighterman's containers")
        parts.refer(variable)


def _collect(
    written: Written, env: dict[str, dict[str, Any]], names: Iterable[str], needed: set[str]
) -> None:
    for name in names:
        if name in needed or (name == COMPLETION_INDEX and written.is_indexed):
            continue
        if name not in env:
            _fail(written, name, "isn't set in main's env")
        needed.add(name)
        _collect(written, env, _references([env[name].get("value")]), needed)


def _references(texts: Iterable[str | None]) -> list[str]:
    return [name for text in texts for name in _REFERENCE.findall(text or "")]


def _fail(written: Written, name: str, what: str) -> None:
    mounts = written.run.container.volume_mounts or ()
    index = next(
        (index for index, one in enumerate(mounts) if f"$({name})" in (one.sub_path_expr or "")), 0
    )
    written.fail(
        written.place("container", "volumeMounts", index, "subPathExpr"),
        f"$({name}) {what}",
        f"set a variable of another name in {written.place('container', 'env')}, by a value or a fieldRef",
    )
