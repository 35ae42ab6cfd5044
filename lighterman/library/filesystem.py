"""``get_fs``: a connection as an fsspec filesystem, for those who read and write in place."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from lighterman import log
from lighterman.connections.catalog import find_connection
from lighterman.connections.model import Connection
from lighterman.errors import ConfigurationError

if TYPE_CHECKING:
    from lighterman.library.rooted import ConnectionFileSystem, Opened


def get_fs(
    name_or_uri: str,
    asynchronous: bool = False,
    *,
    catalog: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    use_listings_cache: bool = False,
) -> "ConnectionFileSystem":
    """
    The fsspec filesystem that a connection's name, or a URI, stands for: logged in, with the connection's
    endpoint, region, proxy, CA bundle and options. pandas, PyArrow and whatever else takes an fsspec
    filesystem read and write through it. ``catalog`` and ``environ`` as in :func:`lighterman.connect`.

    Paths are relative to the connection's root (its bucket and prefix, or where the volume is mounted), so that
    code is the same wherever the connection leads; a whole URI (``s3://bucket/prefix/…``) is taken too if it
    is below that root. ``fs.fs`` is the filesystem of the kind itself (s3fs, gcsfs, adlfs, fsspec's local one),
    whose paths begin with the bucket; ``fs.path`` is the root in it. Listings are asked for each time unless
    ``use_listings_cache``. What goes wrong in it is raised as that filesystem does (``FileNotFoundError``, …).

    With ``asynchronous`` its coroutines (``_ls``, ``_cat_file``, …) are for the caller's event loop, inside of
    which this must be called; ``await fs.aclose()`` at the end.

    Each call makes a new one, with the login of now. Pickled, it takes its connection's name along, never
    its login: the process that unpickles it looks the name up.

    Needs the extra: ``pip install 'lighterman[fsspec]'``; ``ConfigurationError`` says so where it is missing.
    ``ConfigurationError`` and ``CredentialsError`` as of :func:`lighterman.connect`.
    """
    log.to_standard_logging()
    ambient = environ is None
    environ = os.environ if environ is None else environ
    flag = None if catalog is None else os.fspath(catalog)
    connection = find_connection(flag, environ)(name_or_uri)
    open_one = _opener(connection)
    from lighterman.library.rooted import ConnectionFileSystem

    again = {
        "asynchronous": asynchronous,
        "catalog": flag,
        "use_listings_cache": use_listings_cache,
    }
    return ConnectionFileSystem(
        partial(
            open_one,
            connection,
            environ,
            asynchronous=asynchronous,
            use_listings_cache=use_listings_cache,
        ),
        (name_or_uri, again) if ambient else None,
    )


def _opener(connection: Connection) -> "Callable[..., Opened]":
    try:
        match connection.kind:
            case "s3":
                from lighterman.library.filesystem_s3 import open_s3_filesystem as open_one
            case "gcs":
                from lighterman.library.filesystem_gcs import open_gcs_filesystem as open_one
            case "wasb":
                from lighterman.library.filesystem_azure import open_azure_filesystem as open_one
            case _:
                from lighterman.library.filesystem_volume import open_volume_filesystem as open_one
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"get_fs needs {error.name}, which is not installed",
            hint="pip install 'lighterman[fsspec]'",
            connection=connection.name,
        ) from error
    return open_one
