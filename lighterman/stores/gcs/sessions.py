"""Sessions are begun by google-cloud-storage, over this program's own connections and login."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from lighterman.errors import ConditionFailedError, TransientError
from lighterman.stores import metadata
from lighterman.stores.contract import Attributes, ETag, Key
from lighterman.stores.gcs.settings import GcsSettings
from lighterman.stores.gcs.wire import Wire


class _Reply:
    """As much of a ``requests.Response`` as the SDK reads."""

    def __init__(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.status_code = status
        self.headers = headers
        self.content = content


class _Transport:
    """As much of a ``requests.Session`` as the SDK uses to begin a session."""

    def __init__(self, wire: Wire, key: Key) -> None:
        self._wire = wire
        self._key = key

    def request(
        self, method: str, url: str, data: bytes, headers: Mapping[str, str], **_: object
    ) -> _Reply:
        parts = urlsplit(url)
        kept = {
            name.lower(): value
            for name, value in headers.items()
            if name.lower() not in {"user-agent", "accept-encoding"}
        }
        answer = self._wire.call(
            method,
            f"{parts.path}?{parts.query}",
            key=self._key,
            headers=kept,
            body=lambda: data,
            on_condition=ConditionFailedError,
        )
        return _Reply(answer.status, answer.headers, answer.body)


def begin(
    wire: Wire,
    settings: GcsSettings,
    key: Key,
    attributes: Attributes,
    *,
    only_if_absent: bool = False,
    replacing: ETag | None = None,
) -> str:
    """
    Path and query of a new session's URI. Not its host: behind a proxy or a private endpoint a server may
    know itself by another name than the one that leads there.
    """
    client = _client(wire, settings, key)
    blob = client.bucket(settings.bucket).blob(key, kms_key_name=settings.kms_key)
    blob.metadata = metadata.to_metadata(attributes, key)
    if settings.storage_class:
        blob.storage_class = settings.storage_class
    uri = blob.create_resumable_upload_session(
        content_type=attributes.content_type or "application/octet-stream",
        predefined_acl=settings.acl,
        if_generation_match=int(replacing) if replacing else 0 if only_if_absent else None,
        checksum=None,
        retry=None,
    )
    parts = urlsplit(uri)
    if "upload_id=" not in parts.query:
        raise TransientError(
            f"{settings.endpoint} began an upload of {key!r} without saying which",
            connection=settings.connection,
            key=key,
        )
    return f"{parts.path}?{parts.query}"


def _client(wire: Wire, settings: GcsSettings, key: Key) -> Any:
    from google.auth import credentials
    from google.cloud.storage import Client

    nobody: Any = credentials.AnonymousCredentials
    client = Client(
        project="none",  # only buckets are made in one
        credentials=nobody(),  # the transport logs in
        _http=_Transport(wire, key),
        client_options={"api_endpoint": settings.endpoint},
    )
    # For traces that nobody takes, a thread of the SDK's would ask for the bucket itself (storage.buckets.get).
    client._bucket_metadata_cache = None  # noqa: SLF001  # its one other switch is a variable of the whole process
    return client
