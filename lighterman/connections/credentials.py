"""The login of a connection over time: mounted files are read again when they change."""

import os
import threading
from collections.abc import Callable, Mapping
from typing import Final, Generic, Protocol, TypeVar

from lighterman.clock import Clock, SystemClock
from lighterman.connections.login import S3Login, other_client_kwargs, resolve
from lighterman.connections.model import Connection, Mount
from lighterman.connections.mounted import Fingerprint, fingerprint, read_mounts
from lighterman.connections.names import S3_NAMES
from lighterman.connections.sources import FROM_FILES
from lighterman.errors import CredentialsError, LightermanError
from lighterman.log import get_logger

__all__ = ["LOOK_EVERY_SECONDS", "Login", "Logins", "S3Login", "S3Logins", "other_client_kwargs"]

LOOK_EVERY_SECONDS: Final = 1.0
"""Mounted files are looked at no oftener; the kubelet itself needs up to a minute to replace them."""


class Login(Protocol):
    """How to log in, at one moment. Two equal logins are interchangeable."""

    @property
    def source(self) -> str:
        """Where it came from, for logs and errors."""
        ...


L = TypeVar("L", bound=Login)


class Logins(Generic[L]):
    """
    The login of a connection, always the current one. Mounted files are read again when they change; while
    they are gone or half replaced, the last good login stays. Safe to share among threads.

    ``read`` finds the login in the given mounts and wherever else it may be.
    """

    def __init__(
        self,
        connection: Connection,
        read: Callable[[list[Mount]], L],
        clock: Clock | None = None,
    ) -> None:
        self._connection = connection
        self._read_from = read
        self._clock = clock or SystemClock()
        mounts = (connection.secret, connection.config_map)
        self._mounts = [mount for mount in mounts if mount and mount.mount_path]
        self._lock = threading.Lock()
        self._login: L | None = None
        self._seen: Fingerprint | None = None
        self._look_at_seconds = 0.0

    def current(self) -> L:
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

    def refreshed(self) -> L:
        """The login as of now: to be asked when the store has just refused the current one."""
        with self._lock:
            return self._look()

    def _is_due(self) -> bool:
        return bool(self._mounts) and self._clock.monotonic() >= self._look_at_seconds

    def _look(self) -> L:
        self._look_at_seconds = self._clock.monotonic() + LOOK_EVERY_SECONDS
        login = self._login
        if login is None:
            self._seen = fingerprint(self._mounts)
            self._login = self._read()
            self._tell_absent(self._login)
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

    def _tell_absent(self, login: L) -> None:
        """A secret that is declared and not mounted is a mistake more often than not: said once."""
        absent = [mount for mount in self._mounts if not os.path.lexists(mount.mount_path or "")]
        for mount in absent:
            get_logger().warning(
                "credentials.not_mounted",
                connection=self._connection.name,
                name=mount.name,
                path=mount.mount_path,
                source=login.source,
                hint="mount the secret or config map there in this container, or take its mountPath out",
            )

    def _replacement(self, login: L) -> L:
        replacement = self._read()
        if login.source.startswith(FROM_FILES) and not replacement.source.startswith(FROM_FILES):
            raise CredentialsError(f"no login in the {login.source} any more")
        if replacement != login:
            get_logger().info(
                "credentials.reread", connection=self._connection.name, source=replacement.source
            )
        return replacement

    def _read(self) -> L:
        try:
            return self._read_from(self._mounts)
        except LightermanError as error:
            error.connection = error.connection or self._connection.name
            raise


class S3Logins(Logins[S3Login]):
    """The login of an ``s3`` connection."""

    def __init__(
        self, connection: Connection, environ: Mapping[str, str], clock: Clock | None = None
    ) -> None:
        def read(mounts: list[Mount]) -> S3Login:
            return resolve(connection, mounts, read_mounts(mounts, S3_NAMES), environ)

        super().__init__(connection, read, clock)
