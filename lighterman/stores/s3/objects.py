"""obstore carries the bytes: ranged reads, and writes of small objects."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from lighterman.errors import ConditionFailedError, LightermanError, SourceChangedError
from lighterman.stores.contract import Attributes, Digest, ETag, Key, Window
from lighterman.stores.s3 import attributes as metadata
from lighterman.stores.s3 import failures
from lighterman.stores.s3.configuration import S3Settings
from lighterman.stores.s3.login import Login
from lighterman.stores.windows import CHUNK_BYTES, read_window, write_at

if TYPE_CHECKING:
    from obstore.store import S3Store as ObstoreS3

MOST_PUT_BYTES: Final = 1024 * 1024
"""obstore takes a body as one buffer: what is larger is streamed by botocore's client instead."""
_RETRIES: Final = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=1),
        "base": 2,
    },
}
"""Few and quick: whoever calls owns the attempts."""
_NEVER: Final = timedelta(days=365)
"""``timeout`` counts a whole body; a stall is what ``read_timeout`` is for."""
_KEYS_SECONDS: Final = 60.0
"""How long obstore may keep keys before it asks again; botocore renews them long before their end."""


class Objects:
    """One bucket through obstore."""

    def __init__(self, settings: S3Settings, login: Login) -> None:
        self._settings = settings
        self._login = login
        self._lock = threading.Lock()
        self._store: ObstoreS3 | None = None
        self._login_error: LightermanError | None = None

    def read_into(
        self, key: Key, window: Window, at: int, etag: ETag, digest: Digest | None
    ) -> tuple[Attributes, int]:
        """As the store's ``read_into``; also how many bytes came."""
        import obstore

        options: dict[str, Any] = {"if_match": f'"{etag}"'}
        if window.size_bytes:
            options["range"] = (at, at + window.size_bytes)
        store = self._opened()
        done = 0
        try:
            result = obstore.get(store, key, options=options)  # type: ignore[arg-type]  # a TypedDict
            attributes = result.attributes
            if window.size_bytes:
                for chunk in result.stream(min_chunk_size=CHUNK_BYTES):
                    view = memoryview(chunk)
                    if digest is not None:
                        digest.update(view)
                    done += write_at(window.descriptor, view, window.start + done)
        except LightermanError:
            raise
        except (
            Exception
        ) as error:  # obstore's errors have no common base: OSError, ValueError, its own
            raise self._meaning(error, key, SourceChangedError) from error
        found = {name.lower(): value for name, value in attributes.items()}
        return metadata.from_metadata(found, found.get("content-type")), done

    def put(
        self, key: Key, window: Window, attributes: Attributes, *, only_if_absent: bool
    ) -> ETag:
        """As the store's ``write``, of at most ``MOST_PUT_BYTES``."""
        import obstore

        fields = metadata.to_metadata(attributes, key)
        if attributes.content_type:
            fields["Content-Type"] = attributes.content_type
        if self._settings.storage_class:
            fields["Storage-Class"] = self._settings.storage_class
        data = read_window(window)
        store = self._opened()
        try:
            result = obstore.put(
                store,
                key,
                data,
                attributes=fields,
                mode="create" if only_if_absent else "overwrite",
                use_multipart=False,
            )
        except (
            Exception
        ) as error:  # obstore's errors have no common base: OSError, ValueError, its own
            raise self._meaning(error, key, ConditionFailedError) from error
        return ETag((result["e_tag"] or "").strip('"'))

    def _meaning(
        self, error: Exception, key: str, on_condition: type[LightermanError]
    ) -> LightermanError:
        import obstore.exceptions

        if self._login_error is not None:
            raised, self._login_error = self._login_error, None
            return raised
        text = str(error)
        failure = failures.from_text(text)
        if isinstance(error, obstore.exceptions.AlreadyExistsError):
            failure = failures.Failure(412)
        if failure is None:
            return failures.broken(self._settings.place, text, key)
        return failures.explained(self._settings.place, failure, key, on_condition=on_condition)

    def _opened(self) -> "ObstoreS3":
        with self._lock:
            if self._store is None:
                self._store = self._open()
            return self._store

    def _open(self) -> "ObstoreS3":
        from obstore.store import S3Store as ObstoreS3

        settings = self._settings
        endpoint = settings.base_url if settings.virtual else settings.endpoint
        # Everything is said here, since obstore would take what is left out from AWS_… variables.
        return ObstoreS3(
            settings.bucket,
            endpoint=endpoint,
            aws_endpoint_url_s3=endpoint,
            region=settings.region,
            virtual_hosted_style_request=settings.virtual,
            skip_signature=settings.anonymous,
            unsigned_payload=True,
            request_payer=settings.requester_pays,
            client_options=_client_options(settings),
            retry_config=_RETRIES,  # type: ignore[arg-type]  # a TypedDict
            credential_provider=self._provider(),
        )

    def _provider(self) -> Callable[[], Any]:
        def provide() -> Any:
            try:
                keys = self._login.keys()
            except LightermanError as error:
                self._login_error = error  # obstore would wrap it in a text
                raise
            return {
                "access_key_id": keys.access_key if keys else "",
                "secret_access_key": keys.secret_key if keys else "",
                "token": keys.token if keys else None,
                "expires_at": datetime.now(UTC) + timedelta(seconds=_KEYS_SECONDS),
            }

        return provide


def _client_options(settings: S3Settings) -> Any:
    options: dict[str, Any] = {
        "allow_http": settings.endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=settings.connect_seconds),
        "read_timeout": timedelta(seconds=settings.stall_seconds),
        "timeout": _NEVER,
        "pool_max_idle_per_host": str(settings.concurrency),
        "user_agent": settings.user_agent,
    }
    if settings.proxy is not None:
        options["proxy_url"] = settings.proxy
    if settings.verify is False:
        options["allow_invalid_certificates"] = True
    elif isinstance(settings.verify, str):
        with open(settings.verify, "rb") as file:
            options["root_certificate"] = file.read()
    return options
