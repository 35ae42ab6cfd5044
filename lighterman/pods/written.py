"""YAML as a person would write it: block style, short lists of plain values in one line, texts of lines as lines."""

import re
from collections.abc import Iterable
from typing import Any, Final

import yaml

_WIDTH: Final = 140
_LONGEST_IN_LINE: Final = 100
"""A list of plain values up to this length stands in one line."""
_OF_ANOTHER_TYPE: Final = re.compile(
    r"[yYnN]"
    r"|[-+]?0[xXoObB][0-9a-fA-F_]+"
    r"|[-+]?(?:\.[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?"
)
"""
Texts that PyYAML leaves without quotes, and that kubectl (Go's yaml, https://github.com/yaml/go-yaml: ``resolve.go``) or YAML 1.2
take for a truth or a number: ``1e3``, ``0o17``, ``08``.
"""
_OTHER_BREAKS: Final = re.compile("[\x85\u2028\u2029]")
"""Line breaks in YAML 1.1, and none in YAML 1.2: only an escape says them to both."""


class _Dumper(yaml.SafeDumper):
    """Without anchors, and with the members of a list indented below its name."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML calls it so
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - PyYAML calls it so
        super().increase_indent(flow, indentless=False)


def written(documents: Iterable[dict[str, Any]]) -> str:
    """The documents, one after the other, as one text. The same data gives the same text."""
    return "---\n".join(text_of(document) for document in documents)


def text_of(document: object) -> str:
    """One document."""
    return yaml.dump(
        document,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=_WIDTH,
    )


def _text(dumper: _Dumper, text: str) -> yaml.Node:
    style = None
    if _OTHER_BREAKS.search(text):
        style = '"'
    elif "\n" in text:
        style = "|"
    elif _OF_ANOTHER_TYPE.fullmatch(text):
        style = "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _list(dumper: _Dumper, items: list[Any]) -> yaml.Node:
    is_plain = all(isinstance(item, (str, int, float, bool)) for item in items)
    length = sum(len(str(item)) + 2 for item in items)
    is_short = length <= _LONGEST_IN_LINE and not any("\n" in str(item) for item in items)
    return dumper.represent_sequence(
        "tag:yaml.org,2002:seq", items, flow_style=is_plain and is_short
    )


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)
