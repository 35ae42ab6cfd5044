"""S3 as obstore's calls want it said."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from lighterman.errors import LightermanError
from lighterman.stores.contract import Attributes, ETag, Key
from lighterman.stores.failures import broken, require_same
from lighterman.stores.objects import RETRIES, Relay
from lighterman.stores.s3 import attributes as metadata
from lighterman.stores.s3 import failures
from lighterman.stores.s3.configuration import S3Settings
from lighterman.stores.s3.login import Login

if TYPE_CHECKING:
    from obstore.store import S3Store as ObstoreS3

_KEYS_SECONDS: Final = 60.0
"""How long obstore may keep keys before it asks again; botocore renews them long before their end."""


class S3Dialect:
    """One bucket of S3."""

    # What can be said in the call is said there; for these nothing means "as usual".
    foreign_variables: tuple[str, ...] = (
        "AWS_CHECKSUM_ALGORITHM",
        "AWS_CONDITIONAL_PUT",
        "AWS_COPY_IF_NOT_EXISTS",
        "AWS_DISABLE_TAGGING",
        "AWS_S3_EXPRESS",
        "AWS_SERVER_SIDE_ENCRYPTION",
    )

    def __init__(self, settings: S3Settings, login: Login) -> None:
        self._settings = settings
        self._login = login
        self._relay = Relay(self._keys)
        self.connection = settings.connection
        self.endpoint = settings.endpoint

    def open(self) -> "ObstoreS3":
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
            client_options=settings.network.obstore_options(),  # type: ignore[arg-type]  # a TypedDict
            retry_config=RETRIES,  # type: ignore[arg-type]  # a TypedDict
            credential_provider=self._relay,
        )

    def pin(self, etag: ETag) -> dict[str, Any]:
        return {"if_match": f'"{etag}"'}

    def require_pinned(self, result: Mapping[str, Any], etag: ETag, key: Key) -> None:
        require_same(self._settings.place, result["e_tag"] or "", etag, key)

    def replacing(self, etag: ETag) -> dict[str, str]:
        # Without quotes: AWS takes both, Ceph only this.
        return {"e_tag": etag}

    def etag(self, result: Mapping[str, Any]) -> ETag:
        return ETag((result["e_tag"] or "").strip('"'))

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
        if failure is None:
            return broken(self._settings.place, text, key)
        return failures.explained(self._settings.place, failure, key, on_condition=on_condition)

    def _keys(self) -> dict[str, Any]:
        keys = self._login.keys()
        return {
            "access_key_id": keys.access_key if keys else "",
            "secret_access_key": keys.secret_key if keys else "",
            "token": keys.token if keys else None,
            "expires_at": datetime.now(UTC) + timedelta(seconds=_KEYS_SECONDS),
        }
