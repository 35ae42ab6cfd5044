"""
Secrets and config maps that aren't mounted. The pod has the keys of such a one in its environment, each as a
variable of its name (Kubernetes' ``secretKeyRef``, the ``secretKey`` of Polyaxon's legacy ``persistence``); a JSON
document in one is a source of the login, for the connection alone that lists it.
"""

from collections.abc import Collection, Iterator, Mapping

from lighterman.connections.gcs_keyfile import hide
from lighterman.connections.model import Connection, Mount
from lighterman.connections.mounted import IsLogin, keys_in
from lighterman.connections.names import GcsNames
from lighterman.connections.sources import Source
from lighterman.document import parse_document
from lighterman.errors import ConfigurationError, CredentialsError
from lighterman.secret import Secret


def from_variables(
    connection: Connection,
    environ: Mapping[str, str],
    names: Collection[str],
    is_login: IsLogin | None = None,
) -> Source:
    """
    Those of ``names`` that the JSON documents in the connection's variables hold; one that is a login itself, by
    ``is_login``, stands under the name of Google's key file. ``CredentialsError`` for what begins like JSON and is
    none, ``ConfigurationError`` for a key that is said twice, differently; both name the variables alone.
    """
    values: dict[str, str] = {}
    places: dict[str, str] = {}
    read: list[str] = []
    for variable, text in _documents(connection, environ):
        read.append(variable)
        for name, value in _keys_in(variable, text, names, is_login):
            if values.setdefault(name, value) != value:
                raise ConfigurationError(
                    f"{name} is said twice, differently: in {places[name]} and in {variable}",
                    hint="keep one of them",
                )
            places.setdefault(name, variable)
    return Source(f"variable{'s' * (len(read) > 1)} {' and '.join(read)}", values)


def not_mounted(connection: Connection, environ: Mapping[str, str]) -> tuple[str, ...]:
    """What is to be said of each secret and config map that has no mountPath, where no login was found in it."""
    return tuple(
        f"the {what} {mount.name} has no mountPath{_absent(mount, environ)}"
        for what, mount in (("secret", connection.secret), ("config map", connection.config_map))
        if mount and not mount.mount_path
    )


def _absent(mount: Mount, environ: Mapping[str, str]) -> str:
    absent = [f"${item}" for item in mount.items or () if item not in environ]
    if not absent:
        return ""
    return (
        f", and {' and '.join(absent)} {'are' if len(absent) > 1 else 'is'}n't in the environment"
    )


def _documents(connection: Connection, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for mount in (connection.secret, connection.config_map):
        if mount is None or mount.mount_path:
            continue
        for item in dict.fromkeys(mount.items or ()):
            text = environ.get(item, "")
            if text.lstrip().startswith("{"):
                yield f"${item}", text


def _keys_in(
    variable: str, text: str, names: Collection[str], is_login: IsLogin | None
) -> Iterator[tuple[str, str]]:
    Secret(text)
    try:
        document = parse_document(text, variable, only_json=True)
    except ConfigurationError as error:
        hint = "put the secret's document there whole, as it was written"
        raise CredentialsError(error.message, hint=hint) from error
    if not isinstance(document, dict):
        return
    hide(document)
    if is_login is not None and is_login(document):
        yield GcsNames.KEYFILE_DICT[0], text
    else:
        yield from keys_in(document, variable, names)
