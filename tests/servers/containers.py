"""Azure's containers as the tests see them: by azure-storage-blob's plain client, never by the code under test."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from lighterman.connections.model import Bucket, Connection, Options
from lighterman.secret import Secret
from servers.azurite import Azurite

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient


class AzureContainer(NamedTuple):
    """One container of one account."""

    server: Azurite
    name: str
    ca_bundle: str | None = None
    """To trust, where the server speaks TLS."""

    @property
    def endpoint(self) -> str:
        return self.server.endpoint

    @contextmanager
    def client(self) -> "Iterator[ContainerClient]":
        """The SDK's client of the container, with the account's key."""
        from azure.storage.blob import BlobServiceClient  # late: most tests are of another cloud

        verify: Any = self.ca_bundle or True
        with (
            BlobServiceClient(
                self.endpoint,
                {"account_name": self.server.account, "account_key": self.server.key},
                connection_verify=verify,
                retry_total=0,
            ) as service,
            service.get_container_client(self.name) as client,
        ):
            yield client

    def create(self) -> "AzureContainer":
        with self.client() as client:
            client.create_container()
        return self

    def put(self, key: str, body: bytes = b"", **kwargs: Any) -> str:
        """Put one blob; gives its ETag without quotes. ``kwargs`` are those of ``upload_blob``."""
        with self.client() as client:
            blob = client.get_blob_client(key)
            answer = blob.upload_blob(body, overwrite=True, **kwargs)
        return str(answer["etag"]).strip('"')

    def get(self, key: str) -> bytes:
        with self.client() as client:
            content: bytes = client.get_blob_client(key).download_blob().readall()
        return content

    def head(self, key: str) -> dict[str, Any]:
        """The SDK's properties of the blob (``size``, ``etag``, ``metadata``, ``content_settings`` …)."""
        with self.client() as client:
            return dict(client.get_blob_client(key).get_blob_properties())

    def delete(self, key: str) -> None:
        with self.client() as client:
            client.get_blob_client(key).delete_blob()

    def contents(self, prefix: str = "") -> dict[str, int]:
        """Key to size of every blob, in the order of the listing."""
        with self.client() as client:
            return {blob.name: blob.size for blob in client.list_blobs(prefix or None)}

    def keys(self, prefix: str = "") -> list[str]:
        return list(self.contents(prefix))

    def open_uploads(self) -> list[str]:
        """Keys that have blocks and no blob yet."""
        with self.client() as client:
            found = client.list_blobs(include=["uncommittedblobs"])
            listed = {blob.name for blob in found}
        return sorted(listed - set(self.keys()))

    def make_public(self) -> None:
        """Let everyone read and list, without login."""
        with self.client() as client:
            client.set_container_access_policy({}, public_access="container")

    def sas(self, permission: str = "racwdl", *, hours: float = 1.0) -> str:
        """A SAS token of the container, signed by the account's key; a negative time has run out."""
        from azure.storage.blob import generate_container_sas

        now = datetime.now(UTC)
        token: str = generate_container_sas(
            self.server.account,
            self.name,
            self.server.key,
            permission=permission,
            start=now - timedelta(hours=2),
            expiry=now + timedelta(hours=hours),
        )
        return token

    def connection(self, name: str = "container", prefix: str = "", **options: Any) -> Connection:
        """A connection to it with the account's key; ``options`` are those of the catalog."""
        key = {
            "AZURE_STORAGE_ACCOUNT": self.server.account,
            "AZURE_STORAGE_KEY": Secret(self.server.key),
        }
        given = {"endpoint": self.endpoint} | (
            {"ca_bundle": self.ca_bundle} if self.ca_bundle else {}
        )
        return Connection(
            name=name,
            kind="wasb",
            schema=Bucket(
                f"wasbs://{self.name}@{self.server.account}.blob.core.windows.net/{prefix}".rstrip(
                    "/"
                )
            ),
            env={} if options.get("anonymous") else dict(key),
            options=Options(**given | options),
        )
