"""Partial responses: the ``fields`` parameter (https://cloud.google.com/storage/docs/json_api#partial-response)."""

import re
from collections.abc import Iterator
from typing import Any

from servers.gcs_objects import invalid

_Tree = dict[str, "_Tree"]


def selected(value: dict[str, Any], fields: str) -> dict[str, Any]:
    """Only what ``fields`` names: ``a,b/c,items(name,size)``."""
    tokens = iter(re.findall(r"[\w*]+|[,()/]", fields))
    return _pick(value, _tree(tokens))


def _tree(tokens: Iterator[str]) -> _Tree:
    """What stands until the end or the closing bracket."""
    tree: _Tree = {}
    path: list[str] = []
    for token in tokens:
        if token == "(":
            _at(tree, path).update(_tree(tokens))
        elif token == ")":
            return tree
        elif token == ",":
            path = []
        elif token != "/":
            path = [*path, token]
            _at(tree, path)
    return tree


def _at(tree: _Tree, path: list[str]) -> _Tree:
    if not path:
        raise invalid("Invalid field selection")
    for name in path:
        tree = tree.setdefault(name, {})
    return tree


def _pick(value: Any, tree: _Tree) -> Any:
    if not tree or "*" in tree:
        return value
    if isinstance(value, list):
        return [_pick(each, tree) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: _pick(value[name], below) for name, below in tree.items() if name in value}
