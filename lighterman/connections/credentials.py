"""The login of an S3 connection over time: mounted files are read again when they change."""

import threading
from collections.abc import Mapping
from typing import Final

from lighterman.clock import Clock, SystemClock
from lighterman.connections.login import S3Login, other_client_kwargs, resolve
from lighterman.connections.model import Connection
from lighterman.connections.mounted import Fingerprint, fingerprint, read_mounts
from lighterman.connections.names import S3_NAMES
from lighterman.connections.sources import FROM_FILES
from lighterman.errors import CredentialsError, LightermanError
from lighterman.log import get_logger

__all__ = ["LOOK_EVERY_SECONDS", "S3Login", "S3Logins", "other_client_kwargs"]

LOOK_EVERY_SECONDS: Final = 1.0
"""Mounted files are looked at no oftener; the kubelet itself needs up to a minute to replace them."""


class S3Logins:
    """
    The login of a connection, always the current one. Mounted files are read again when they change; while
    they are gone or half replaced, the last good login stays. Safe to share among threads.
    """

    def __init__(
        self, connection: Connection, environ: Mapping[str, str], clock: Clock | None = None
    ) -> None:
        self._connection = connection
        self._environ = environ
        self._clock = clock or SystemClock()
        mounts = (connection.secret, connection.config_map)
        self._mounts = [mount for mount in mounts if mount and mount.mount_path]
        self._lock = threading.Lock()
        self._login: S3Login | None = None
        self._seen: Fingerprint | None = None
        self._look_at_seconds = 0.0

    def current(self) -> S3Login:
        """
        The login as of at most ``LOOK_EVERY_SECONDS`` ago. The first call raises ``CredentialsError`` for a
        login of which a part is missing, ``ConfigurationError`` for a setting that is malformed.
        """
        login = self._login
        if login is not None and not self._is_due():
            return login
        with self._lock:
            if self._login is None or self._is_due():
                return self._look()
            return self._login

    def refreshed(self) -> S3Login:
        """The login as of now: to be asked when the store has just refused the current one."""
        with self._lock:
            return self._look()

    def _is_due(self) -> bool:
        return bool(self._mounts) and self._clock.monotonic() >= self._look_at_seconds

    def _look(self) -> S3Login:
        self._look_at_seconds = self._clock.monotonic() + LOOK_EVERY_SECONDS
        login = self._login
        if login is None:
            self._seen = fingerprint(self._mounts)
            self._login = self._read()
            return self._login
        try:
            seen = fingerprint(self._mounts)
            if seen == self._seen:
                return login
            # Also when it can't be used: what is wrong with one state is said once.
            self._seen = seen
            login = self._login = self._replacement(login)
        except LightermanError as error:
            get_logger().warning(
                "credentials.kept",
                connection=self._connection.name,
                source=login.source,
                error=error.message,
            )
        return login

    def _replacement(self, login: S3Login) -> S3Login:
        replacement = self._read()
        if login.source.startswith(FROM_FILES) and not replacement.source.startswith(FROM_FILES):
            raise CredentialsError(f"no login in the {login.source} any more")
        if replacement != login:
            get_logger().info(
                "credentials.reread", connection=self._connection.name, source=replacement.source
            )
        return replacement

    def _read(self) -> S3Login:
        try:
            found = read_mounts(self._mounts, S3_NAMES)
            return resolve(self._connection, self._mounts, found, self._environ)
        except LightermanError as error:
            error.connection = error.connection or self._connection.name
            raise
