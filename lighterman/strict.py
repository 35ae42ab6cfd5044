"""
Plain data into typed structs, strictly: whatever doesn't fit becomes a ``ConfigurationError`` that names
the document, the place in it, what is wrong there and the nearest valid name. The offending value itself is
never quoted: it may be a credential in the wrong place.
"""

import re
from collections.abc import Iterable
from typing import Any, Final, NoReturn, TypeVar

import msgspec

from lighterman.errors import ConfigurationError
from lighterman.secret import Secret

T = TypeVar("T")

_AT: Final = re.compile(r" - at (?P<key>`key` in )?`\$(?P<path>.*)`$", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|(\[\.\.\.\])")
_PLAIN_KEY: Final = re.compile(r"[\w-]+")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(.*)`")
_WORDS: Final = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
_MENDS: Final = {
    "str": "write text there",
    "int": "write a whole number, without quotes",
    "float": "write a number, without quotes",
    "bool": "write true or false, without quotes",
    "array": "write it as a list: [...]",
    "object": "write it as a mapping: {name: value}",
}
_Step = str | int


def decode(data: object, type_: type[T], origin: str, place: str = "") -> T:
    """
    ``data`` as ``type_``, or a ``ConfigurationError``. ``place`` is where in the document ``data`` stands
    (``connections[2]``). Text becomes a ``Secret`` where the type asks for one.
    """
    try:
        return msgspec.convert(data, type_, strict=True, dec_hook=_custom)
    except msgspec.ValidationError as error:
        _explain(data, type_, str(error), origin, place)


def fail(origin: str, place: str, what: str, hint: str = "") -> NoReturn:
    """Raise the ``ConfigurationError`` that says so: ``origin: place: what``."""
    raise ConfigurationError(": ".join(part for part in (origin, place, what) if part), hint=hint)


def under(place: str, *steps: _Step) -> str:
    """The place of a member: ``under("a[0]", "b", 1)`` is ``a[0].b[1]``."""
    for step in steps:
        if isinstance(step, int):
            place += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            place += f".{step}" if place else step
        else:
            place += f"[{step!r}]"
    return place


def nearest(name: str, candidates: Iterable[str]) -> str:
    """The candidate that ``name`` was probably meant to be, or ``""``."""
    import difflib

    names = list(candidates)
    folded = {_folded(candidate): candidate for candidate in reversed(names)}
    close = difflib.get_close_matches(_folded(name), folded, n=1, cutoff=0.7)
    return folded[close[0]] if close else ""


def suggestion(name: str, candidates: Iterable[str], what: str) -> str:
    """A hint: the nearest valid name, or else all of them (``valid fields: …``)."""
    names = list(candidates)
    close = nearest(name, names)
    if close:
        return f"did you mean {close}?"
    return f"{what}: {', '.join(names)}" if names else ""


def _folded(name: str) -> str:
    return re.sub(r"[_\W]", "", name).lower()


def _custom(type_: type, value: object) -> object:
    if type_ is object:
        return value
    if type_ is Secret and isinstance(value, str):
        return Secret(value)
    raise TypeError("expected text")


def _explain(data: object, type_: Any, said: str, origin: str, place: str) -> NoReturn:
    match = _AT.search(said)
    what = said[: match.start()] if match else said
    path = match["path"] if match else ""
    steps = _steps(data, type_, path, what)
    if unknown := _UNKNOWN.fullmatch(what):
        name = unknown[1]
        hint = suggestion(name, _fields(type_, steps), "valid fields")
        fail(origin, under(place, *steps, name), "unknown field", hint)
    if missing := _MISSING.fullmatch(what):
        fail(origin, under(place, *steps, missing[1]), "missing", "it is required there")
    here = under(place, *steps)
    if match and match["key"]:
        fail(origin, here, "a key that isn't text", "quote it")
    if what.startswith("Invalid enum value"):
        choices = _choices(type_, steps)
        hint = suggestion(str(_at(data, steps)), choices, "valid values")
        fail(origin, here, f"not one of {', '.join(choices)}", hint)
    fail(origin, here, _in_words(what), _how_to_mend(what))


def _how_to_mend(what: str) -> str:
    if re.search(r"`str\b.*got `(int|float|bool)`", what) or what == "expected text":
        return "quote it"
    if what.endswith("got `null`"):
        return "give it a value, or take it out"
    if "of length" in what:
        return "give it as many members"
    expected = re.match(r"Expected `(\w+)", what)
    return _MENDS.get(expected[1] if expected else "", "correct it there")


def _in_words(what: str) -> str:
    def words(match: re.Match[str]) -> str:
        names = [_WORDS.get(name, name) for name in match[1].split(" | ")]
        return " or ".join(name for name in names if name != "nothing" or len(names) == 1)

    return re.sub(r"`([^`]+)`", words, what[:1].lower() + what[1:])


def _steps(data: object, type_: Any, path: str, what: str) -> tuple[_Step, ...]:
    """The path of an error, with the keys of mappings, which msgspec leaves out as ``[...]``."""
    steps: tuple[_Step, ...] = ()
    for name, index, any_key in _STEP.findall(path):
        if any_key:
            key = _failing_key(data, steps, type_, what)
            data = _alone(data, steps, key)
            steps += (key,)
        else:
            steps += (int(index) if index else name,)
    return steps


def _failing_key(data: object, steps: tuple[_Step, ...], type_: Any, what: str) -> str:
    """Which key of the mapping there it was: the first that fails alike when it is the only one."""
    mapping = _at(data, steps)
    for key in mapping:
        try:
            msgspec.convert(_alone(data, steps, key), type_, strict=True, dec_hook=_custom)
        except msgspec.ValidationError as error:
            if str(error).startswith(what):
                return str(key)
    raise AssertionError("msgspec named a mapping in which every entry converts")


def _at(data: object, steps: tuple[_Step, ...]) -> Any:
    found: Any = data
    for step in steps:
        found = found[step]
    return found


def _alone(data: Any, steps: tuple[_Step, ...], key: str) -> object:
    """``data`` with only this key left in the mapping at ``steps``."""
    if not steps:
        return {key: data[key]}
    copy: Any = dict(data) if isinstance(data, dict) else list(data)
    copy[steps[0]] = _alone(data[steps[0]], steps[1:], key)
    return copy


def _fields(type_: Any, steps: tuple[_Step, ...]) -> list[str]:
    import msgspec.inspect

    for found in _types_at(type_, steps):
        if isinstance(found, msgspec.inspect.StructType):
            return [field.encode_name for field in found.fields]
    raise AssertionError("msgspec knew a struct there")


def _choices(type_: Any, steps: tuple[_Step, ...]) -> list[str]:
    import msgspec.inspect

    for found in _types_at(type_, steps):
        if isinstance(found, msgspec.inspect.LiteralType):
            return [str(value) for value in found.values]
    raise AssertionError("msgspec knew choices there")


def _types_at(type_: Any, steps: tuple[_Step, ...]) -> list[Any]:
    """What msgspec may read there; several where the type is a union."""
    import msgspec.inspect

    found = _members(msgspec.inspect.type_info(type_))
    for step in steps:
        found = [inner for outer in found for inner in _inside(outer, step)]
    return found


def _members(type_: Any) -> list[Any]:
    import msgspec.inspect

    return list(type_.types) if isinstance(type_, msgspec.inspect.UnionType) else [type_]


def _inside(type_: Any, step: _Step) -> list[Any]:
    import msgspec.inspect as types

    if isinstance(type_, types.StructType):
        named = [field.type for field in type_.fields if field.encode_name == step]
        return [member for found in named for member in _members(found)]
    if isinstance(type_, types.DictType):
        return _members(type_.value_type)
    if isinstance(type_, types.TupleType) and isinstance(step, int):
        return _members(type_.item_types[step])
    if isinstance(type_, (types.ListType, types.VarTupleType)):
        return _members(type_.item_type)
    return []
