"""A GCS connection as a filesystem: gcsfs, which asks our own login for its token with each request."""

import ssl
import threading
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final

from aiohttp import ClientSession, TCPConnector
from gcsfs.core import GCSFileSystem
from google.auth.credentials import Credentials

from lighterman.connections.gcs_login import GcsLogin, GcsLogins
from lighterman.connections.model import Connection
from lighterman.library.rooted import Opened
from lighterman.library.uris import bucket_path
from lighterman.stores.gcs.login import Login, login_of
from lighterman.stores.gcs.settings import GcsSettings, configured, network_to
from lighterman.stores.network import Network
from lighterman.transfer.settings import TransferSettings

CONCURRENCY: Final = 32
"""Sockets."""


def open_gcs_filesystem(
    connection: Connection,
    environ: Mapping[str, str],
    *,
    asynchronous: bool,
    use_listings_cache: bool,
) -> Opened:
    """No request is made yet. ``ConfigurationError``, ``CredentialsError``."""
    logins = GcsLogins(connection, environ)
    stall_seconds = TransferSettings().stall_seconds

    def configure(login: GcsLogin) -> GcsSettings:
        return configured(
            connection, login, environ, stall_seconds=stall_seconds, concurrency=CONCURRENCY
        )

    def make(login: GcsLogin) -> Login:
        def reach(endpoint: str) -> Network:
            return network_to(
                endpoint,
                connection,
                login,
                environ,
                stall_seconds=stall_seconds,
                concurrency=CONCURRENCY,
            )

        return login_of(login, configure(login).place, reach)

    first = logins.current()
    settings = configure(first)
    tokens = None if settings.anonymous else _Tokens(logins, make)
    fs = _Filesystem(
        settings.network,
        project=first.project or "",
        token="anon" if tokens is None else tokens,
        endpoint_url=settings.endpoint,
        requester_pays=settings.user_project or False,
        asynchronous=asynchronous,
        use_listings_cache=use_listings_cache,
        skip_instance_cache=True,
    )

    async def close() -> None:
        if fs._session is not None:  # noqa: SLF001  # its property ``session`` would complain
            await fs._session.close()  # noqa: SLF001
            fs._session = None  # noqa: SLF001  # another request would open one
        if tokens is not None:
            tokens.close()

    root = "/".join(part for part in (settings.bucket, settings.prefix) if part)
    return Opened(fs, root, bucket_path("gcs"), close=close)


class _Filesystem(GCSFileSystem):  # type: ignore[misc]  # gcsfs has no types
    """Gcsfs over the connection's network: its CA, its proxy, none of the environment's."""

    cachable = False

    def __init__(self, network: Network, **options: Any) -> None:
        self._network = network
        super().__init__(**options)

    async def _set_session(self) -> ClientSession:
        if self._session is None:
            # In the loop that will use it: a connector belongs to one.
            self.session_kwargs = {
                "connector": TCPConnector(ssl=_tls(self._network.verify), limit=CONCURRENCY),
                "proxy": self._network.proxy,
            }
        session: ClientSession = await super()._set_session()
        return session


def _tls(verify: bool | str) -> ssl.SSLContext | bool:
    if isinstance(verify, str):
        return ssl.create_default_context(cafile=verify)
    return verify


class _Tokens(Credentials):
    """The connection's token as of now, in google-auth's form. Renewing it is the login's affair."""

    def __init__(self, logins: GcsLogins, make: Callable[[GcsLogin], Login]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # google-auth's
        self._logins = logins
        self._make = make
        self._turn = threading.Lock()
        self._of: GcsLogin | None = None
        self._login: Login | None = None
        self._is_wanted = False

    @property
    def valid(self) -> bool:
        # Gcsfs uses valid ones at once, and has others refreshed before the first request.
        return self._is_wanted

    def apply(self, headers: MutableMapping[str, str], token: str | None = None) -> None:
        found = token or self._current().token()
        if found:
            headers["authorization"] = f"Bearer {found}"

    def refresh(self, request: object) -> None:  # noqa: ARG002  # google-auth's
        """What it gives is always good."""
        self._is_wanted = True

    def close(self) -> None:
        with self._turn:
            if self._login is not None:
                self._login.close()
            self._of = self._login = None

    def _current(self) -> Login:
        with self._turn:
            login = self._logins.current()
            if self._login is None or login != self._of:
                if self._login is not None:
                    self._login.close()
                self._of, self._login = login, self._make(login)
            return self._login
