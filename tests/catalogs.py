"""Catalogs as their users write them, of the connections that the tests have."""

import json
from pathlib import Path

from lighterman.connections.model import Bucket, Connection
from lighterman.secret import Secret

NAME = "datasets"


def write_catalog(path: Path, *connections: Connection) -> str:
    """The document of these connections."""
    path.write_text(json.dumps([_document(connection) for connection in connections]))
    return str(path)


def _document(connection: Connection) -> dict[str, object]:
    schema: dict[str, object]
    if isinstance(connection.schema, Bucket):
        schema = {"bucket": connection.schema.bucket}
    else:
        path = connection.schema.mount_path
        schema = {"hostPath": path, "mountPath": path}
    options = connection.options
    said = {
        name: getattr(options, name)
        for name in ("endpoint", "region", "ca_bundle")
        if getattr(options, name) is not None
    }
    document: dict[str, object] = {
        "name": connection.name,
        "kind": connection.kind,
        "schema": schema,
        "env": {name: _plain(value) for name, value in connection.env.items()},
        "options": said,
    }
    if connection.secret:
        document["secret"] = {
            "name": connection.secret.name,
            "mountPath": connection.secret.mount_path,
        }
    return document


def _plain(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value
