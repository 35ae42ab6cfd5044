"""
GCS: what google-cloud-storage, gcsfs, gcloud and TensorFlow read
(https://cloud.google.com/docs/authentication/application-default-credentials).
"""

import os
from collections.abc import Mapping
from typing import Final

from lighterman.connections.gcs_keyfile import checked, is_key_file
from lighterman.connections.gcs_login import GcsLogin, GcsLogins
from lighterman.connections.model import Connection
from lighterman.connections.mounted import read_mounts
from lighterman.connections.names import GCS_NAMES, GcsNames
from lighterman.environments.environment import Environment
from lighterman.errors import CannotWriteError, ConfigurationError, LightermanError

_CHAIN: Final = (
    "GCE_METADATA_HOST",
    "GCE_METADATA_IP",
    "GCE_METADATA_ROOT",
    "NO_GCE_CHECK",
)
"""By what google-auth finds its files and the metadata server."""
_GCSFS_ENDPOINT: Final = "FSSPEC_GCS_ENDPOINT_URL"
"""gcsfs knows no other, https://filesystem-spec.readthedocs.io/en/latest/features.html#configuration"""
_GCSFS_EXTENSION: Final = "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"
"""On, gcsfs asks Google itself what each bucket is, over gRPC and wherever the endpoint is: for a minute, if in vain."""
_OTHERS: Final = (
    *GcsNames.CREDENTIALS_FILE,
    *GcsNames.EMULATOR,
    "API_ENDPOINT_OVERRIDE",
    _GCSFS_ENDPOINT,
)


def add_gcs(
    environment: Environment,
    connection: Connection,
    environ: Mapping[str, str],
    *,
    key_file: str | None,
) -> None:
    """Add what a ``gcs`` connection needs. A key without a file of its own is written to ``key_file``."""
    login = GcsLogins(connection, environ).current()
    if login.key_file is not None:
        path = _written(login, key_file) if key_file else _path_of(login, connection)
        if path:
            environment.add(path, "GOOGLE_APPLICATION_CREDENTIALS")
        else:
            environment.notes.append(
                f"the key ({login.source}) is in no file, and libraries take it from one only: "
                "--write-key FILE writes one"
            )
    elif key_file:
        raise ConfigurationError(
            f"connection {connection.name!r} has no key to write: its login is {login.source}",
            hint="take --write-key away",
            connection=connection.name,
        )
    elif not login.anonymous:
        environment.keep(environ, _CHAIN)
    environment.add(login.project, "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT")
    _add_place(environment, login)
    environment.add_proxy(connection)
    environment.drop(environ, _OTHERS)


def _add_place(environment: Environment, login: GcsLogin) -> None:
    if login.endpoint and login.anonymous:
        environment.add(login.endpoint, "STORAGE_EMULATOR_HOST")
        if not login.project:  # the SDK wants one, and asks no emulator for it
            environment.add("none", "GOOGLE_CLOUD_PROJECT")
    elif login.endpoint:
        environment.add(login.endpoint, "API_ENDPOINT_OVERRIDE", _GCSFS_ENDPOINT)
        environment.add("false", _GCSFS_EXTENSION)
    elif login.anonymous:
        environment.notes.append(
            "no variable says that requests are unsigned: Client.create_anonymous_client() "
            "(google-cloud-storage), token='anon' (gcsfs)"
        )
    if isinstance(login.verify, str):
        environment.add(login.verify, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def _path_of(login: GcsLogin, connection: Connection) -> str | None:
    """The file that is this key: the one that was named, or one of those that are mounted."""
    if login.named_file:
        return login.named_file
    mounts = [
        mount for mount in (connection.secret, connection.config_map) if mount and mount.mount_path
    ]
    paths = {found.path for found in read_mounts(mounts, GCS_NAMES, is_key_file).values()}
    return next((path for path in sorted(paths) if _is_key(path, login)), None)


def _is_key(path: str, login: GcsLogin) -> bool:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return checked(file.read(), path).text == login.key_file
    except (OSError, ValueError, LightermanError):  # a file of another key, or of several
        return False


def _written(login: GcsLogin, path: str) -> str:
    """Write the key for its owner alone; a file that is there is replaced in one step."""
    whole = os.path.abspath(path)
    temporary = f"{whole}.{os.getpid()}.tmp"
    if login.key_file is None:
        raise AssertionError
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(login.key_file.reveal())
            os.replace(temporary, whole)
        except OSError:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise CannotWriteError(
            f"can't write the key to {whole}: {os.strerror(error.errno or 0)}",
            hint="name a file in a directory that this user may write to",
        ) from error
    return whole
