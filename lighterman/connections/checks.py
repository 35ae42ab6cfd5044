"""What every shape of a connection is checked for, each error with its place in the document."""

from typing import Any, Final

from lighterman.connections.model import Kind, Mount
from lighterman.connections.uri import is_uri, parse_bucket
from lighterman.document import parse_document
from lighterman.errors import ConfigurationError
from lighterman.strict import fail, under

KWARGS: Final = ("client_kwargs", "config_kwargs", "s3_additional_kwargs")


def with_parsed_kwargs(data: dict[str, Any], origin: str, place: str) -> dict[str, Any]:
    """The same mapping, with the kwargs that were JSON strings as the mappings that they are."""
    parsed = dict(data)
    for name in KWARGS:
        text = data.get(name)
        if not isinstance(text, str):
            continue
        here = under(place, name)
        value = parse_document(text, f"{origin}: {here}", only_json=True)
        if not isinstance(value, dict):
            fail(origin, here, "the JSON in it is no object", 'write it like {"name": "value"}')
        parsed[name] = value
    return parsed


def check_bucket(kind: Kind, bucket: str, origin: str, place: str) -> None:
    try:
        parse_bucket(kind, bucket)
    except ConfigurationError as error:
        fail(origin, place, error.message, error.hint)


def check_absolute(path: str, origin: str, place: str) -> None:
    if not path.startswith("/") or "\0" in path:
        fail(origin, place, "no absolute path", "it begins with a slash")


def checked_mount(mount: Mount | None, origin: str, place: str) -> Mount | None:
    if mount is not None and mount.mount_path is not None:
        check_absolute(mount.mount_path, origin, under(place, "mountPath"))
    return mount


def checked_name(name: str, origin: str, place: str) -> str:
    """A name also becomes a directory (``/lighterman/artifacts/NAME``) and mustn't pass for a URI."""
    if (
        not name.strip()
        or name in (".", "..")
        or any(char in name for char in "/\0\n")
        or is_uri(name)
    ):
        fail(
            origin,
            under(place, "name"),
            "no name of a connection",
            "letters, digits, dashes, dots; no slash, and no URI",
        )
    return name


def origin_of(origin: str, place: str) -> str:
    return f"{origin}: {place}"
