"""
Text into plain data: YAML or JSON, without their traps. A key that stands twice, a key that isn't text, a
date or a tag that would become some Python object: each is an error that says where. No value of the
document is ever quoted in an error, since it may be a credential.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn

from lighterman.errors import ConfigurationError

if TYPE_CHECKING:
    import yaml

DEEPEST: Final = 64
"""Levels of nesting; libyaml's composer overflows the C stack at some tens of thousands."""
LARGEST_BYTES: Final = 8 * 1024 * 1024

_JSON_SPACE: Final = " \t\r\n"
_QUOTED: Final = re.compile(r"\b(alias|tag|handle|anchor) (['\"]).*\2", re.DOTALL)
_PLAIN_TAGS: Final = ("null", "bool", "int", "float", "str", "seq", "map")


def read_document(path: str, *, what: str) -> object:
    """
    The data in a file. ``what`` names the file's role (``catalog``) in the ``ConfigurationError`` that
    is raised if it can't be read or isn't YAML or JSON.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{path}: there is no such {what}", hint="check the path, and that it is mounted"
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"{path}: the {what} can't be read: {error.strerror}",
            hint="it must be a file that this user may read",
        ) from error
    except ValueError as error:  # a NUL in the path
        raise ConfigurationError(f"{path!r}: no path of a {what}") from error
    if len(content) > LARGEST_BYTES:
        raise ConfigurationError(f"{path}: a {what} of more than {LARGEST_BYTES >> 20} MiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{path}: the {what} isn't UTF-8 text (byte {error.start})", hint="save it as UTF-8"
        ) from None  # the original holds the content
    return parse_document(text, path, only_json=path.endswith(".json"))


def parse_document(text: str, origin: str, *, only_json: bool = False) -> object:
    """
    The data in ``text``, as dicts with string keys, lists, strings, numbers, booleans and None.
    ``origin`` says in errors where the text came from. PyYAML is imported only for what isn't JSON.
    """
    if only_json or text.lstrip(_JSON_SPACE)[:1] in ("{", "["):
        try:
            return _parse_json(text, origin)
        except ConfigurationError:
            # Flow-style YAML begins like JSON: its parser has the last word, unless JSON was promised.
            if only_json:
                raise
    return _parse_yaml(text, origin)


def _syntax_error(origin: str, line: int | None, column: int | None, problem: str) -> NoReturn:
    where = f"{origin}:{line}:{column}" if line is not None else origin
    # From nothing: a parser's own error quotes the document.
    raise ConfigurationError(
        f"{where}: {problem}", hint="mend the YAML or JSON there" if line is not None else ""
    ) from None


def _parse_json(text: str, origin: str) -> object:
    import json

    def mapping(pairs: list[tuple[str, object]]) -> dict[str, object]:
        data = dict(pairs)
        if len(data) < len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value] # add gives None, which is what it is for
            _syntax_error(origin, None, None, f"the key {twice!r} stands twice in one object")
        return data

    def no_number(_word: str) -> NoReturn:
        _syntax_error(origin, None, None, "NaN and Infinity are no JSON")

    try:
        data: object = json.loads(text, object_pairs_hook=mapping, parse_constant=no_number)
    except json.JSONDecodeError as error:
        _syntax_error(origin, error.lineno, error.colno, f"not JSON: {error.msg}")
    except (ValueError, RecursionError) as error:
        _syntax_error(origin, None, None, f"not JSON that can be read: {type(error).__name__}")
    _check_json(data, origin)
    return data


def _check_json(data: object, origin: str) -> None:
    """No deeper than YAML may be, and no half of a surrogate pair, which no path or request can hold."""
    level = [data]
    for _ in range(DEEPEST + 1):
        texts = [item for item in level if isinstance(item, str)]
        pairs = [pair for item in level if isinstance(item, dict) for pair in item.items()]
        texts += [key for key, _ in pairs]
        try:
            "".join(texts).encode()
        except UnicodeEncodeError:
            _syntax_error(origin, None, None, "text with half of a surrogate pair")
        members = [member for item in level if isinstance(item, list) for member in item]
        level = [value for _, value in pairs] + members
        if not level:
            return
    _syntax_error(origin, None, None, f"nested deeper than {DEEPEST} levels")


def _parse_yaml(text: str, origin: str) -> object:
    import yaml

    loader_class = _plain_loader(yaml)
    try:
        _refuse_depth(text, origin, loader_class, yaml)
        return yaml.load(text, loader_class)  # noqa: S506 - built from the safe loader, with less
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or "characters that YAML doesn't allow"
        context = getattr(error, "context", None)
        said = _QUOTED.sub(r"\1", f"{context}: {problem}" if context else problem)
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        _syntax_error(origin, line, column, f"not YAML: {said}")
    except (ValueError, KeyError):
        # What PyYAML's own conversions raise for `!!int x` or a number of 5,000 digits.
        _syntax_error(origin, None, None, "not YAML: a value that isn't what its tag says")


def _refuse_depth(text: str, origin: str, loader_class: Any, yaml: Any) -> None:
    depth = 0
    for event in yaml.parse(text, loader_class):
        if isinstance(event, yaml.events.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                mark = event.start_mark
                _syntax_error(
                    origin, mark.line + 1, mark.column + 1, f"nested deeper than {DEEPEST} levels"
                )
        elif isinstance(event, yaml.events.CollectionEndEvent):
            depth -= 1


def _plain_loader(yaml: Any) -> Any:
    """PyYAML's safe loader (the C one where it is there), for plain data only and with unique keys."""
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    prefix = "tag:yaml.org,2002:"

    def mapping(loader: Any, node: "yaml.MappingNode") -> dict[str, object]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            if key_node.tag == f"{prefix}merge":
                continue
            key = loader.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                problem = "a key that isn't text: quote it"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            if key in seen:
                problem = "the same key stands twice in one mapping"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.add(key)
        loader.flatten_mapping(node)
        # Deep: a node that holds itself is met while it is built, and refused.
        return dict(loader.construct_mapping(node, deep=True))

    def sequence(loader: Any, node: "yaml.SequenceNode") -> list[object]:
        return list(loader.construct_sequence(node, deep=True))

    constructors: dict[str | None, Callable[..., object]] = {
        f"{prefix}{tag}": base.yaml_constructors[f"{prefix}{tag}"] for tag in _PLAIN_TAGS
    }
    constructors |= {
        f"{prefix}map": mapping,
        f"{prefix}seq": sequence,
        None: base.yaml_constructors[None],
    }
    # A date without quotes is what it looks like: text.
    resolvers = {
        first: [rule for rule in rules if rule[0] != f"{prefix}timestamp"]
        for first, rules in base.yaml_implicit_resolvers.items()
    }
    members = {"yaml_constructors": constructors, "yaml_implicit_resolvers": resolvers}
    return type("PlainLoader", (base,), members)
