"""Azure as obstore's calls want it said."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lighterman.errors import LightermanError
from lighterman.stores import metadata
from lighterman.stores.azure import failures
from lighterman.stores.azure.access import Access
from lighterman.stores.azure.configuration import AzureSettings
from lighterman.stores.azure.login import obstore_config, obstore_provider
from lighterman.stores.contract import Attributes, ETag, Key
from lighterman.stores.failures import require_same
from lighterman.stores.objects import RETRIES, Relay

if TYPE_CHECKING:
    from obstore.store import AzureStore as ObstoreAzure


class AzureDialect:
    """One container."""

    foreign_variables: tuple[str, ...] = ()  # everything is said (see ``obstore_config``)

    def __init__(self, settings: AzureSettings, access: Access) -> None:
        self._settings = settings
        self._access = access
        provider = obstore_provider(access)
        self._relay = Relay(provider) if provider else None
        self.connection = settings.connection
        self.endpoint = settings.endpoint

    def open(self) -> "ObstoreAzure":
        from obstore.store import AzureStore as ObstoreAzure

        settings = self._settings
        return ObstoreAzure(
            settings.container,
            client_options=settings.network.obstore_options(),  # type: ignore[arg-type]  # a TypedDict
            retry_config=RETRIES,  # type: ignore[arg-type]  # a TypedDict
            credential_provider=self._relay,
            **obstore_config(self._access, settings.endpoint),
        )

    def pin(self, etag: ETag) -> dict[str, Any]:
        return {"if_match": f'"{etag}"'}

    def require_pinned(self, result: Mapping[str, Any], etag: ETag, key: Key) -> None:
        require_same(self._settings.place, result["e_tag"] or "", etag, key)

    def replacing(self, etag: ETag) -> dict[str, str]:
        return {"e_tag": f'"{etag}"'}

    def etag(self, result: Mapping[str, Any]) -> ETag:
        return ETag((result["e_tag"] or "").strip('"'))

    def to_fields(self, attributes: Attributes, key: Key) -> dict[str, str]:
        fields = metadata.to_metadata(attributes, key)
        if attributes.content_type:
            fields["Content-Type"] = attributes.content_type
        return fields

    def from_fields(self, fields: Mapping[str, str]) -> Attributes:
        return metadata.from_metadata(fields, fields.get("content-type"))

    def meaning(
        self, error: Exception, key: Key, on_condition: type[LightermanError]
    ) -> LightermanError:
        import obstore.exceptions

        refused = self._relay.taken() if self._relay else None
        if refused is not None:
            return refused
        text = str(error)
        failure = failures.from_text(text)
        is_conflict = isinstance(error, obstore.exceptions.AlreadyExistsError)
        # Its words for every 409, and for every 412.
        is_conflict = is_conflict or isinstance(error, obstore.exceptions.PreconditionError)
        if is_conflict and not (failure and failure.code):
            failure = failures.Failure(412)
        if failure is None:
            return failures.broken(self._settings.place, text, key)
        return failures.explained(self._settings.place, failure, key, on_condition=on_condition)
