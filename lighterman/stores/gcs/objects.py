"""GCS as obstore's calls want it said. obstore speaks the XML API."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lighterman.errors import LightermanError
from lighterman.stores import metadata
from lighterman.stores.contract import Attributes, ETag, Key
from lighterman.stores.failures import broken
from lighterman.stores.gcs import failures
from lighterman.stores.gcs.login import Login
from lighterman.stores.gcs.settings import GcsSettings
from lighterman.stores.objects import RETRIES, Relay

if TYPE_CHECKING:
    from obstore.store import GCSStore as ObstoreGcs


class GcsDialect:
    """One bucket of GCS."""

    # Taken for a key file also where obstore 0.12 was told how to log in.
    foreign_variables: tuple[str, ...] = (
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_PATH",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
    )

    def __init__(self, settings: GcsSettings, login: Login) -> None:
        self._settings = settings
        self._relay = Relay(login.credential)
        self.connection = settings.connection
        self.endpoint = settings.endpoint

    def open(self) -> "ObstoreGcs":
        from obstore.store import GCSStore as ObstoreGcs

        settings = self._settings
        # As stored, also where that is gzip: https://cloud.google.com/storage/docs/transcoding
        headers = {"accept-encoding": "gzip"}
        if settings.user_project:
            headers["x-goog-user-project"] = settings.user_project
        return ObstoreGcs(
            settings.bucket,
            base_url=settings.endpoint,
            skip_signature=settings.anonymous,
            client_options={**settings.network.obstore_options(), "default_headers": headers},  # type: ignore[arg-type]  # a TypedDict
            retry_config=RETRIES,  # type: ignore[arg-type]  # a TypedDict
            credential_provider=self._relay,
        )

    def pin(self, etag: ETag) -> dict[str, Any]:
        return {"version": etag}

    def require_pinned(self, result: Mapping[str, Any], etag: ETag, key: Key) -> None:
        """A generation is asked for by its number: there is no other that could come."""

    def replacing(self, etag: ETag) -> dict[str, str]:
        return {"version": etag}

    def etag(self, result: Mapping[str, Any]) -> ETag:
        return ETag(result["version"] or "")

    def to_fields(self, attributes: Attributes, key: Key) -> dict[str, str]:
        fields = metadata.to_metadata(attributes, key)
        if attributes.content_type:
            fields["Content-Type"] = attributes.content_type
        if self._settings.storage_class:
            fields["Storage-Class"] = self._settings.storage_class
        return fields

    def from_fields(self, fields: Mapping[str, str]) -> Attributes:
        return metadata.from_metadata(fields, fields.get("content-type"))

    def meaning(
        self, error: Exception, key: Key, on_condition: type[LightermanError]
    ) -> LightermanError:
        import obstore.exceptions

        refused = self._relay.taken()
        if refused is not None:
            return refused
        text = str(error)
        failure = failures.from_text(text)
        refusals = (obstore.exceptions.AlreadyExistsError, obstore.exceptions.PreconditionError)
        if isinstance(error, refusals):
            failure = failures.Failure(412)
        elif isinstance(error, FileNotFoundError):
            failure = failures.Failure(404, failure.reason if failure else "", text)
        if failure is None:
            return broken(self._settings.place, text, key)
        return failures.explained(self._settings.place, failure, key, on_condition=on_condition)
