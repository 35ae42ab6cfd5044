"""From a connection to its store."""

from collections.abc import Mapping

from lighterman.connections.model import Connection
from lighterman.stores.contract import Store
from lighterman.transfer.settings import TransferSettings


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
    what the connection says; the code of a kind is imported only when one of that kind is opened.
    """
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
