"""
What the main container's libraries read of the connections that it names: settings as they are, credentials as
references to the keys of their secrets.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from lighterman.connections.model import Bucket, Connection, Mount
from lighterman.connections.names import AzureNames, GcsNames, S3Names
from lighterman.connections.uri import parse_bucket
from lighterman.environments import environment_of
from lighterman.errors import ConfigurationError
from lighterman.pods.logins import (
    Parts,
    add_variables,
    add_volume,
    key_reference,
    mounted_secret,
    mounts_of,
)
from lighterman.pods.volumes import Volumes
from lighterman.secret import Secret
from lighterman.transfer.settings import TransferSettings

_READ_AS: Final = {
    "s3": (
        (S3Names.ID, S3Names.ID),
        (S3Names.SECRET, S3Names.SECRET),
        (S3Names.TOKEN, S3Names.TOKEN[:1]),
    ),
    "wasb": (
        (AzureNames.CONNECTION_STRING, AzureNames.CONNECTION_STRING[:1]),
        (AzureNames.ACCOUNT, AzureNames.ACCOUNT[:2]),
        (AzureNames.KEY, (*AzureNames.KEY[:2], "TF_AZURE_STORAGE_KEY")),
        (AzureNames.SAS, (AzureNames.SAS[0], "TF_AZURE_STORAGE_SAS")),
        (AzureNames.TENANT, AzureNames.TENANT[:1]),
        (AzureNames.CLIENT, AzureNames.CLIENT[:1]),
        (AzureNames.CLIENT_SECRET, AzureNames.CLIENT_SECRET[:1]),
    ),
}
"""The names of a key in a secret, and the variables that libraries take it from (as ``lighterman env`` has them)."""
_ELSEWHERE: Final = "known-to-the-pod-alone"


def main_parts(connections: Sequence[Connection], volumes: Volumes) -> tuple[Parts, list[str]]:
    """
    Members of the main container, and what no variable can say. ``ConfigurationError`` where two connections
    say different things by one variable, or where a key can't be found by any library.
    """
    parts = Parts()
    notes: list[str] = []
    owners: dict[str, tuple[Connection, dict[str, Any]]] = {}
    for connection in connections:
        own = Parts()
        notes += [f"{connection.name}: {note}" for note in _settings(own, connection)]
        notes += _unread(connection)
        _add_login(own, connection, volumes)
        for variable in own.env:
            other, its = owners.setdefault(variable["name"], (connection, variable))
            if its != variable:
                raise ConfigurationError(
                    f"the connections {other.name!r} and {connection.name!r} both set "
                    f"{variable['name']} in the main container",
                    hint="name one of them in connections; main has but one environment",
                    connection=connection.name,
                )
            parts.refer(variable)
        for source in own.env_from:
            parts.take(source)
        for mount in own.mounts:
            parts.mount(mount)
        add_volume(parts, connection, volumes)
    return parts, notes


def _settings(parts: Parts, connection: Connection) -> list[str]:
    """The settings that are no secret, as ``lighterman env`` prints them."""
    for name, plain in _plain_env(connection).items():
        parts.set(name, plain)
    if not isinstance(connection.schema, Bucket):
        return []
    if connection.kind == "wasb":
        _azure_settings(parts, connection)
        return []
    stripped = msgspec.structs.replace(
        connection,
        secret=None,
        config_map=None,
        env=_without_login(connection),
    )
    environment = environment_of(stripped, {}, TransferSettings())
    for name, value in environment.variables.items():
        if isinstance(value, str):
            parts.set(name, value)
    return [note for note in environment.notes if "TensorFlow" in note or "no variable" in note]


def _without_login(connection: Connection) -> dict[str, str | Secret]:
    """The connection's env as if its login were static keys: what the pod will log in with isn't here."""
    env: dict[str, str | Secret] = dict(_plain_env(connection))
    if connection.kind == "s3" and not connection.options.anonymous:
        for name in (*S3Names.PROFILE, *S3Names.WEB_IDENTITY, *S3Names.ROLE):
            env.pop(name, None)
        keys = {S3Names.ID[0]: _ELSEWHERE, S3Names.SECRET[0]: _ELSEWHERE}
        env |= {name: Secret(value) for name, value in keys.items()}
    for name in (*GcsNames.CREDENTIALS_FILE, *GcsNames.KEY_PATH):
        env.pop(name, None)
    return env


def _plain_env(connection: Connection) -> dict[str, str]:
    return {name: value for name, value in connection.env.items() if not isinstance(value, Secret)}


def _azure_settings(parts: Parts, connection: Connection) -> None:
    assert isinstance(connection.schema, Bucket)  # noqa: S101 - the caller has looked
    place = parse_bucket("wasb", connection.schema.bucket)
    if place.account:
        for name in AzureNames.ACCOUNT[:2]:
            parts.set(name, place.account)
    options = connection.options
    if (options.endpoint or place.endpoint or "").startswith("http://"):
        parts.set("TF_AZURE_STORAGE_USE_HTTP", "1")
    if options.ca_bundle:
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            parts.set(name, options.ca_bundle)
    if options.proxy:
        for name in ("HTTPS_PROXY", "HTTP_PROXY"):
            parts.set(name, options.proxy)


def _add_login(parts: Parts, connection: Connection, volumes: Volumes) -> None:
    for what, mount in mounts_of(connection):
        if mount.mount_path is not None:
            parts.mount(mounted_secret(what, mount, volumes))
        if what == "secret" and connection.kind == "gcs":
            _add_key_file(parts, connection, mount)
        elif what == "secret":
            _add_keys(parts, connection, mount)
        elif mount.mount_path is None:
            add_variables(parts, what, mount)


def _add_key_file(parts: Parts, connection: Connection, mount: Mount) -> None:
    """Google's libraries take a key from a file only."""
    name = GcsNames.CREDENTIALS_FILE[0]
    if name in connection.env:
        return
    if mount.mount_path is None or mount.items is None or len(mount.items) != 1:
        raise ConfigurationError(
            f"{connection.origin}: no library of the main container would find the key in the secret {mount.name}",
            hint="give it a mountPath and the one name of the file in it in the catalog: "
            "secret: {…, mountPath: /etc/secrets/gcs, items: [key.json]}",
            connection=connection.name,
        )
    parts.set(name, f"{mount.mount_path.rstrip('/')}/{mount.items[0]}")


def _unread(connection: Connection) -> list[str]:
    """What is to be said of a secret whose files no library of main's looks for."""
    mount = connection.secret
    known = [alias for aliases, _ in _READ_AS.get(connection.kind, ()) for alias in aliases]
    if not (known and mount and mount.mount_path and mount.items):
        return []
    if any(item.upper() in known for item in mount.items):
        return []
    return [
        f"{connection.name}: no library of main's reads {', '.join(mount.items)} by itself: main finds it in {mount.mount_path}"
    ]


def _add_keys(parts: Parts, connection: Connection, mount: Mount) -> None:
    """The keys as variables. Of a secret whose keys aren't listed, those that the kind has, if they are there."""
    known = _READ_AS.get(connection.kind, ())
    if mount.items is not None:
        for item in mount.items:
            # A file of another name is no variable's value: main has it at the mountPath.
            unknown = () if mount.mount_path else (item,)
            names = next((names for aliases, names in known if item.upper() in aliases), unknown)
            for name in names:
                parts.refer(key_reference("secret", mount.name, item, name))
    elif mount.mount_path is None:
        add_variables(parts, "secret", mount)
    else:
        for aliases, names in known:
            for name in names:
                key = name if name in aliases else aliases[0]
                parts.refer(key_reference("secret", mount.name, key, name, optional=True))
