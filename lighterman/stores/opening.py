"""From a connection to its store."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final, NamedTuple

from lighterman.connections.model import Connection
from lighterman.errors import ConfigurationError
from lighterman.stores.contract import Store
from lighterman.transfer.settings import TransferSettings

CLOUDS_VARIABLE: Final = "LIGHTERMAN_CLOUDS"
"""Set in an image: the clouds whose SDKs are in it."""


class _Sdk(NamedTuple):
    cloud: str
    """As ``CLOUDS`` of the Dockerfile calls it."""
    module: str
    package: str


_SDKS: Final = {
    "s3": _Sdk("s3", "botocore", "boto3"),
    "gcs": _Sdk("gcs", "google.cloud.storage", "google-cloud-storage"),
    "wasb": _Sdk("azure", "azure.storage.blob", "azure-storage-blob"),
}


def open_store(
    connection: Connection,
    environ: Mapping[str, str],
    settings: TransferSettings,
    *,
    concurrency: int,
) -> Store:
    """
    The store that a connection names. ``environ`` is where credentials and proxies may come from,
    ``concurrency`` how many calls will be made at once (it sizes the pools of sockets).

    Opening moves no byte: a wrong bucket or a wrong key shows at the first call. ``ConfigurationError`` for
    what the connection says, and for a kind whose SDK isn't installed, as in an image of other clouds; the
    code of a kind is imported only when one of that kind is opened.
    """
    _require_sdk(connection, environ)
    match connection.kind:
        case "s3":
            from lighterman.stores.s3 import open_s3

            return open_s3(connection, environ, settings, concurrency=concurrency)
        case "volume_claim" | "host_path":
            from lighterman.stores.volume import open_volume

            return open_volume(connection)
        case "gcs":
            from lighterman.stores.gcs import open_gcs

            return open_gcs(connection, environ, settings, concurrency=concurrency)
        case "wasb":
            from lighterman.stores.azure import open_azure

            return open_azure(connection, environ, settings, concurrency=concurrency)


def _require_sdk(connection: Connection, environ: Mapping[str, str]) -> None:
    sdk = _SDKS.get(connection.kind)
    if sdk is None or _is_there(sdk.module):
        return
    built_with = environ.get(CLOUDS_VARIABLE)
    raise ConfigurationError(
        f"this image was built with CLOUDS={built_with}, without what {connection.kind} needs"
        if built_with
        else f"what {connection.kind} needs isn't installed: {sdk.package}",
        hint=f"take the image of all clouds, or build one with CLOUDS={built_with},{sdk.cloud}"
        if built_with
        else f"pip install {sdk.package}",
        connection=connection.name,
    )


def _is_there(module: str) -> bool:
    """Whether it could be imported. It isn't: only the packages above it are."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
