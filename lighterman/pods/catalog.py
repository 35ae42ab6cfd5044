"""The connections of a job as a catalog again: in the contract's own shape, whatever shape they were read in."""

from collections.abc import Iterable
from typing import Any

import msgspec

from lighterman.connections.model import Connection, Mount, Options
from lighterman.secret import Secret


def catalog_of(connections: Iterable[Connection]) -> dict[str, Any]:
    """The catalog's document. Connections with a credential in clear aren't for it: ``check_connection``."""
    return {"connections": [_document(connection) for connection in connections]}


def _document(connection: Connection) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": connection.name,
        "kind": connection.kind,
        "schema": {
            name: value
            for name, value in msgspec.to_builtins(connection.schema).items()
            if value is not False
        },
        "secret": _mount(connection.secret),
        "configMap": _mount(connection.config_map),
        "env": [{"name": name, "value": _plain(value)} for name, value in connection.env.items()],
        "options": _options(connection.options),
        "description": connection.description,
        "tags": list(connection.tags),
        "annotations": dict(connection.annotations),
    }
    return {name: value for name, value in found.items() if value}


def _mount(mount: Mount | None) -> dict[str, Any] | None:
    if mount is None:
        return None
    members: dict[str, Any] = {
        "name": mount.name,
        "mountPath": mount.mount_path,
        "items": None if mount.items is None else list(mount.items),
        "defaultMode": mount.default_mode,
    }
    return {name: value for name, value in members.items() if value is not None}


def _options(options: Options) -> dict[str, Any]:
    usual = Options()
    return {
        name: value
        for name in Options.__struct_fields__
        if (value := getattr(options, name)) != getattr(usual, name)
    }


def _plain(value: str | Secret) -> str:
    assert isinstance(value, str)  # noqa: S101 - refused before
    return value
