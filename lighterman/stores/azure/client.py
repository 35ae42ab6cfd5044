"""azure-storage-blob's client, loaded at the first need: blocks, and the list that makes an object of them."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from lighterman.errors import ConditionFailedError, LightermanError, SourceMissingError
from lighterman.stores import metadata
from lighterman.stores.azure import failures
from lighterman.stores.azure.access import API_VERSION, Access
from lighterman.stores.azure.configuration import AzureSettings
from lighterman.stores.contract import Attributes, Checksum, ETag, Key
from lighterman.stores.http import ATTEMPTS
from lighterman.stores.network import silence_unverified
from lighterman.stores.windows import CHUNK_BYTES

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

T = TypeVar("T")
_LOGGERS: Final = ("azure.core", "azure.storage")


class BlockList(NamedTuple):
    """The blocks of one key, as names with their sizes."""

    etag: ETag
    """The object's; ``""`` where there is none yet."""
    committed: list[tuple[str, int]]
    """Of the object, in order."""
    waiting: list[tuple[str, int]]


class Client:
    """One container by the SDK, and its calls with our errors."""

    def __init__(self, settings: AzureSettings, access: Access) -> None:
        self._settings = settings
        self.connection = settings.connection
        self._client = _create(settings, access)

    def stage(
        self, key: Key, name: str, body: Callable[[], Any], size_bytes: int, md5: str
    ) -> None:
        """
        Bring one block; the service compares what arrives with its MD5 (hexadecimal digits). ``body`` gives
        the bytes or the file to send, anew for each attempt.
        """
        blob = self._client.get_blob_client(key)
        self._called(
            key,
            lambda: blob.stage_block(
                name,
                body(),
                length=size_bytes,
                # The SDK would read the whole block to know it.
                transactional_content_md5=bytearray.fromhex(md5),
                client_request_id=_request_id(),
                **self._scope(),
            ),
        )

    def blocks(self, key: Key, which: str = "all") -> BlockList:
        """``committed``, ``uncommitted`` or ``all`` blocks of a key; none where there is no such key."""
        etags: list[str] = []

        def note(response: Any) -> None:
            etags.append(response.http_response.headers.get("ETag", ""))

        blob = self._client.get_blob_client(key)
        try:
            committed, waiting = self._called(
                key,
                lambda: blob.get_block_list(
                    which, raw_response_hook=note, client_request_id=_request_id()
                ),
            )
        except SourceMissingError:
            return BlockList(ETag(""), [], [])
        return BlockList(
            ETag(etags[-1].strip('"')),
            [(block.id, block.size) for block in committed],
            [(block.id, block.size) for block in waiting],
        )

    def commit(
        self,
        key: Key,
        names: list[str],
        attributes: Attributes,
        *,
        checksum: Checksum | None = None,
        only_if_absent: bool = False,
        replacing: ETag | None = None,
    ) -> ETag:
        """
        Make the object of these blocks; once more, when the answer was lost, of those that it has by then.
        ``UploadMissingError`` if one isn't there.
        """
        from azure.core import MatchConditions
        from azure.storage.blob import BlobBlock, ContentSettings, StandardBlobTier

        settings = self._settings
        blocks = [BlobBlock(name) for name in names]
        content_md5 = bytearray.fromhex(checksum.partition(":")[2]) if checksum else None
        content = ContentSettings(content_type=attributes.content_type, content_md5=content_md5)
        extras = self._scope()
        if only_if_absent:
            extras["match_condition"] = MatchConditions.IfMissing
        if replacing is not None:
            extras |= {"etag": f'"{replacing}"', "match_condition": MatchConditions.IfNotModified}
        if settings.tier:
            extras["standard_blob_tier"] = StandardBlobTier(settings.tier)
        if settings.tags:
            extras["tags"] = settings.tags
        blob = self._client.get_blob_client(key)
        answer = self._called(
            key,
            lambda: blob.commit_block_list(
                blocks,
                content_settings=content,
                metadata=metadata.to_metadata(attributes, key),
                client_request_id=_request_id(),
                **extras,
            ),
        )
        return ETag(str(answer["etag"]).strip('"'))

    def close(self) -> None:
        self._client.close()

    def _scope(self) -> dict[str, Any]:
        scope = self._settings.encryption_scope
        return {"encryption_scope": scope} if scope else {}

    def _called(self, key: Key, call: Callable[[], T]) -> T:
        from azure.core.exceptions import ServiceRequestError, ServiceResponseError

        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self._translated(key):
                    return call()
            except LightermanError as error:
                # A connection that the server let go while it was idle breaks at its next use.
                cause = error.__cause__
                is_broken = isinstance(cause, (ServiceRequestError, ServiceResponseError))
                if attempt == ATTEMPTS or not is_broken or not _was_reset(cause):
                    raise
        raise AssertionError

    @contextmanager
    def _translated(self, key: Key) -> Iterator[None]:
        from azure.core.exceptions import AzureError, HttpResponseError

        place = self._settings.place
        try:
            yield
        except HttpResponseError as error:
            if error.status_code is None:
                raise failures.broken(place, str(error), key) from error
            raise failures.explained(
                place, _failure(error), key, on_condition=ConditionFailedError
            ) from error
        except TypeError as error:
            # The SDK stumbles over XML that has no message, as gateways on the way may answer.
            answer = _answer_behind(error)
            if answer is None:
                raise
            raise failures.explained(
                place, _failure(answer), key, on_condition=ConditionFailedError
            ) from answer
        except AzureError as error:
            inner = error.inner_exception
            raise failures.broken(place, f"{error} {inner}", key) from error


def _request_id() -> str:
    """
    What Azure's support asks for. The SDK would take a ``uuid1``, for which libuuid opens its clock in each
    thread anew, and never closes it: parts are sent by new threads for each file.
    """
    from uuid import uuid4  # 10 ms, of what the SDK needs anyway

    return str(uuid4())


def _failure(error: Any) -> failures.Failure:
    code = getattr(error, "error_code", None)
    text = str(getattr(code, "value", code) or "")
    said = getattr(error, "additional_info", None) or {}
    return failures.Failure(
        error.status_code, text, str(said.get("authenticationerrordetail") or "")
    )


def _answer_behind(error: BaseException) -> Any:
    """The SDK's error with an answer of the service, while another was about to be made of it."""
    from azure.core.exceptions import HttpResponseError

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, HttpResponseError):
        cause = cause.__context__
    return cause


def _was_reset(error: BaseException | None) -> bool:
    text = str(error)
    return "reset" in text or "aborted" in text or "Broken pipe" in text


def _create(settings: AzureSettings, access: Access) -> "ContainerClient":
    import requests
    from azure.core.pipeline.transport import RequestsTransport
    from azure.storage.blob import ContainerClient
    from requests.adapters import HTTPAdapter

    network = settings.network

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
            super().init_poolmanager(*arguments, blocksize=CHUNK_BYTES, **options)
            network.patient(self.poolmanager)

        def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
            return network.patient(super().proxy_manager_for(*arguments, **options))

    for name in _LOGGERS:  # its warnings quote answers; what matters is an error of ours
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if network.verify is False:
        silence_unverified()
    session = requests.Session()
    session.trust_env = False
    for scheme in ("https://", "http://"):
        session.mount(scheme, Adapter(pool_connections=2, pool_maxsize=network.concurrency))
    transport = RequestsTransport(
        session=session,
        session_owner=True,
        use_env_settings=False,
        connection_timeout=network.connect_seconds,
        read_timeout=network.stall_seconds,
        connection_verify=network.verify,
    )
    proxies = {"http": network.proxy, "https": network.proxy} if network.proxy else None
    return ContainerClient(
        settings.endpoint,
        settings.container,
        credential=access.credential(),
        transport=transport,
        proxies=proxies,
        user_agent=network.user_agent,
        api_version=API_VERSION,
        retry_total=0,  # whoever calls owns the attempts
    )
