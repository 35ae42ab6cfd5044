"""A volume as a filesystem: fsspec's local one."""

from collections.abc import Mapping

from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.local import LocalFileSystem

from lighterman.connections.model import Bucket, Connection
from lighterman.errors import ConfigurationError
from lighterman.library.rooted import Opened
from lighterman.library.uris import volume_path


def open_volume_filesystem(
    connection: Connection,
    environ: Mapping[str, str],  # noqa: ARG001  # a volume has no login
    *,
    asynchronous: bool,
    use_listings_cache: bool,  # noqa: ARG001  # the kernel has one
) -> Opened:
    """Directories are made as they are needed, as in a bucket."""
    if isinstance(connection.schema, Bucket):
        raise ConfigurationError(
            f"connection {connection.name!r} is a {connection.kind} without a mountPath",
            hint="give its schema a mountPath",
            connection=connection.name,
        )
    fs = LocalFileSystem(auto_mkdir=True, skip_instance_cache=True)
    if asynchronous:
        fs = AsyncFileSystemWrapper(fs, asynchronous=True)
    return Opened(fs, connection.schema.mount_path, volume_path, resolves_dots=True)
