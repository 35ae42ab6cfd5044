"""An Azure connection as a filesystem: adlfs over a client of our own, whose login is the connection's."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from adlfs import AzureBlobFileSystem
from azure.core.credentials import AccessToken
from azure.storage.blob.aio import BlobServiceClient
from fsspec.asyn import get_loop

from lighterman.connections.azure_login import AzureLogin, AzureLogins
from lighterman.connections.model import Connection
from lighterman.library.rooted import Opened
from lighterman.library.uris import bucket_path
from lighterman.stores.azure.access import API_VERSION, Access, Token
from lighterman.stores.azure.configuration import AzureSettings, configured
from lighterman.stores.azure.login import access_of
from lighterman.transfer.settings import TransferSettings

CONCURRENCY: Final = 32
"""Sockets."""


def open_azure_filesystem(
    connection: Connection,
    environ: Mapping[str, str],
    *,
    asynchronous: bool,
    use_listings_cache: bool,
) -> Opened:
    """No request is made yet. ``ConfigurationError``, ``CredentialsError``."""
    logins = AzureLogins(connection, environ)

    def decided(login: AzureLogin) -> tuple[AzureSettings, Access]:
        settings = configured(
            connection,
            login,
            environ,
            stall_seconds=TransferSettings().stall_seconds,
            concurrency=CONCURRENCY,
        )
        return settings, access_of(connection, login, environ, settings.network, settings.place)

    first = logins.current()
    settings, _ = decided(first)
    clients = _Clients(logins, lambda login: _client(*decided(login)))
    fs = _Filesystem(
        clients,
        asynchronous=asynchronous,
        use_listings_cache=use_listings_cache,
        skip_instance_cache=True,
    )
    root = "/".join(part for part in (settings.container, settings.prefix) if part)
    return Opened(fs, root, bucket_path("wasb", first.account), close=clients.close)


class _Clients:
    """The client of the current login. One that was replaced is closed with the last."""

    def __init__(
        self, logins: AzureLogins, make: Callable[[AzureLogin], BlobServiceClient]
    ) -> None:
        self._logins = logins
        self._make = make
        self._of: AzureLogin | None = None
        self._made: list[BlobServiceClient] = []

    def current(self) -> BlobServiceClient:
        login = self._logins.current()
        if login != self._of:
            self._made.append(self._make(login))
            self._of = login
        return self._made[-1]

    async def close(self) -> None:
        for client in self._made:
            await client.close()


class _Filesystem(AzureBlobFileSystem):  # type: ignore[misc]  # adlfs has no types
    """Adlfs itself would take logins from the environment that are none of the connection's."""

    cachable = False

    def __init__(self, clients: _Clients, **options: Any) -> None:
        self._clients = clients
        super().__init__(anon=True, **options)
        for name in ("account_key", "connection_string", "sas_token"):
            setattr(self, name, None)

    def do_connect(self) -> None:
        """A client is made when it is needed."""

    @property
    def loop(self) -> Any:
        # Adlfs closes each filesystem once more at the interpreter's end, in a loop that an asynchronous
        # one doesn't have.
        return get_loop() if self.asynchronous else super().loop

    @property
    def service_client(self) -> BlobServiceClient:
        return self._clients.current()


def _client(settings: AzureSettings, access: Access) -> BlobServiceClient:
    network = settings.network
    credential: Any = _Tokens(access.token) if access.token else access.credential()
    return BlobServiceClient(
        settings.endpoint,
        credential=credential,
        api_version=API_VERSION,
        connection_timeout=network.connect_seconds,
        read_timeout=network.stall_seconds,
        connection_verify=network.verify,
        proxies={"http": network.proxy, "https": network.proxy} if network.proxy else None,
        use_env_settings=False,
        user_agent=network.user_agent,
    )


class _Tokens:
    """The connection's tokens, as the SDK's asynchronous clients ask for them."""

    def __init__(self, token: Callable[[], Token]) -> None:
        self._token = token

    async def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:
        # It may ask Microsoft Entra.
        found = await asyncio.to_thread(self._token)
        return AccessToken(found.token, int(found.expires_seconds))

    async def close(self) -> None:
        """There is nothing to let go of."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
