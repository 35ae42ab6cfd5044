"""An S3 connection as a filesystem: s3fs, which asks our own login for keys each time that it signs."""

import asyncio
import threading
from collections.abc import Mapping
from typing import Any, Final

import s3fs
from aiobotocore.credentials import AioCredentialResolver, AioCredentials
from aiobotocore.session import AioSession

from lighterman.connections.credentials import S3Login, S3Logins
from lighterman.connections.model import Connection
from lighterman.library.rooted import Opened
from lighterman.library.uris import bucket_path
from lighterman.stores.s3.client import client_arguments, config_arguments
from lighterman.stores.s3.configuration import S3Settings, configured
from lighterman.stores.s3.login import Keys, Login, login_of, region_of
from lighterman.transfer.settings import TransferSettings

CONCURRENCY: Final = 32
"""Sockets; s3fs makes up to 10 requests at once for one file."""


def open_s3_filesystem(
    connection: Connection,
    environ: Mapping[str, str],
    *,
    asynchronous: bool,
    use_listings_cache: bool,
) -> Opened:
    """No request is made yet. ``ConfigurationError``, ``CredentialsError``."""
    logins = S3Logins(connection, environ)

    def configure(login: S3Login) -> S3Settings:
        return configured(
            connection,
            login,
            environ,
            region=region_of(login),
            stall_seconds=TransferSettings().stall_seconds,
            concurrency=CONCURRENCY,
        )

    first = logins.current()
    settings = configure(first)
    client_kwargs = client_arguments(settings)
    fs = s3fs.S3FileSystem(
        anon=settings.anonymous,
        endpoint_url=client_kwargs.pop("endpoint_url"),
        use_ssl=client_kwargs.pop("use_ssl"),
        client_kwargs=client_kwargs,
        config_kwargs=config_arguments(settings),
        s3_additional_kwargs=_write_kwargs(settings),
        requester_pays=settings.requester_pays,
        # R2 and others want parts of one size; it costs nothing elsewhere.
        fixed_upload_size=True,
        session=None if settings.anonymous else _session(_Given(logins, configure)),
        asynchronous=asynchronous,
        use_listings_cache=use_listings_cache,
        skip_instance_cache=True,
    )

    async def close() -> None:
        if fs._s3 is not None:  # noqa: SLF001  # its property ``s3`` would connect
            await fs._s3.close()  # noqa: SLF001

    root = "/".join(part for part in (settings.bucket, settings.prefix) if part)
    return Opened(fs, root, bucket_path("s3"), close=close)


def _write_kwargs(settings: S3Settings) -> dict[str, object]:
    """What uploads carry; s3fs gives each call those that it takes."""
    storage = {"StorageClass": settings.storage_class} if settings.storage_class else {}
    return {**storage, **settings.write_kwargs}


class _Given(AioCredentials):  # type: ignore[misc]  # aiobotocore has no types
    """The connection's keys as of now: a rotated secret, a role's renewed session."""

    def __init__(self, logins: S3Logins, configure: Any) -> None:
        super().__init__(access_key="", secret_key="", method="lighterman")  # none
        self._logins = logins
        self._configure = configure
        self._turn = threading.Lock()
        self._of: S3Login | None = None
        self._login: Login | None = None

    async def get_frozen_credentials(self) -> Keys | None:
        # It may look at files, or ask STS.
        return await asyncio.to_thread(self._keys)

    def _keys(self) -> Keys | None:
        with self._turn:
            login = self._logins.current()
            if self._login is None or login != self._of:
                self._of, self._login = login, login_of(login, self._configure(login))
            current = self._login
        return current.keys()


class _Provider:
    METHOD = CANONICAL_NAME = "lighterman"

    def __init__(self, credentials: _Given) -> None:
        self._credentials = credentials

    async def load(self) -> _Given:
        return self._credentials


def _session(credentials: _Given) -> Any:
    session = AioSession()
    resolver = AioCredentialResolver([_Provider(credentials)])
    session.register_component("credential_provider", resolver)
    return session
