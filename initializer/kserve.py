"""
The rules by which KServe's storage initializer differs from ``init URI DEST``, so that what its users have goes on
working: ``kserve_storage.py`` of KServe 0.20 has them.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from initializer.archives.forms import form_of
from initializer.entries import Entry
from initializer.keys import STATE_DIRECTORY
from lighterman.command import Context
from lighterman.connections.model import Connection
from lighterman.errors import ConfigurationError, NoCredentialsError
from lighterman.flags import variable_of
from lighterman.log import get_logger

_PATTERNS: Final = {"STORAGE_ALLOW_PATTERNS": "--include", "STORAGE_IGNORE_PATTERNS": "--exclude"}
_CONFIDENTIAL: Final = "CONFIDENTIAL_ENABLED"
_ACCELERATE: Final = "S3_USE_ACCELERATE"
_OFF: Final = ("", "0", "false")


def by_its_rules(
    bring: Callable[[Sequence[Entry], Context], None], entries: Sequence[Entry], context: Context
) -> None:
    """
    ``bring`` the entries: an object that is an archive by its name is unpacked, and buckets of Google's and Azure's
    are asked without a login where there is none at all. ``ConfigurationError`` for a variable that asks for what
    isn't here.
    """
    _refuse_unmapped(context)
    entries = [_with_unpack(entry) for entry in entries]
    try:
        bring(entries, context)
    except NoCredentialsError as error:
        if not any(_takes_nobody(context.find_connection(one.connection)) for one in entries):
            raise
        get_logger().warning("init.anonymous", connection=error.connection, error=error.message)
        bring(entries, _anonymous(context))


def _with_unpack(entry: Entry) -> Entry:
    """A prefix is never called like an archive; if it is, its archives are unpacked."""
    if entry.unpack or not form_of(entry.connection, "auto"):
        return entry
    return msgspec.structs.replace(entry, unpack="auto")


def tidy(entries: Sequence[Entry]) -> None:
    """
    Leave nothing but the files: a model server may take each directory that it finds for a model, and what was noted
    has served.
    """
    for entry in entries:
        if not entry.is_outputs:
            shutil.rmtree(os.path.join(entry.destination, STATE_DIRECTORY), ignore_errors=True)


def _takes_nobody(connection: Connection) -> bool:
    return connection.kind in ("gcs", "wasb")


def _anonymous(context: Context) -> Context:
    from dataclasses import replace

    def find(name: str) -> Connection:
        connection = context.find_connection(name)
        if not _takes_nobody(connection):
            return connection
        options = msgspec.structs.replace(connection.options, anonymous=True)
        return msgspec.structs.replace(connection, options=options)

    return replace(context, find_connection=find)


def _refuse_unmapped(context: Context) -> None:
    """What would change what arrives is refused; what would only bring it faster is said."""
    environ = context.environ
    for variable, flag in _PATTERNS.items():
        if environ.get(variable):
            raise ConfigurationError(
                f"${variable} isn't read here",
                hint=f"say it as ${variable_of(flag)}: globs as gitignore has them",
            )
    if environ.get(_CONFIDENTIAL, "").lower() not in _OFF:
        raise ConfigurationError(
            f"${_CONFIDENTIAL}: what arrives isn't decrypted here",
            hint="leave this model to KServe's own storage initializer",
        )
    if environ.get(_ACCELERATE, "").lower() not in _OFF:
        get_logger().warning("kserve.not_mapped", variable=_ACCELERATE)
