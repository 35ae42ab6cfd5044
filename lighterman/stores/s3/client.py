"""
botocore's client, loaded at the first need: uploads by parts, copies, uploads with parameters that only it
knows, and keys that obstore would change.
"""

from typing import Any, Final

from lighterman.errors import (
    ConfigurationError,
    LightermanError,
    SourceChangedError,
    TransientError,
)
from lighterman.stores.failures import Place, broken
from lighterman.stores.network import silence_unverified
from lighterman.stores.s3 import failures
from lighterman.stores.s3.configuration import S3Settings
from lighterman.stores.s3.failures import Failure
from lighterman.stores.s3.login import Login

UPLOAD_CALLS: Final = ("PutObject", "CreateMultipartUpload", "UploadPart", "CopyObject")
_OF_CUSTOMER_KEY: Final = ("UploadPartCopy", "CompleteMultipartUpload")
"""Of the parameters of upload calls they take the customer's own key only; some stores want it to complete."""
_CUSTOMER_KEY: Final = "SSECustomer"
_OWN: Final = {"Bucket", "Key", "Body", "UploadId", "PartNumber", "CopySource"}
"""Parameters that are the call's own."""


def failure_of(error: Any) -> Failure:
    """What a ``ClientError`` tells."""
    answer = error.response.get("ResponseMetadata", {})
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(answer.get("HTTPStatusCode", 0)) or 400
    said = error.response.get("Error", {}).get("Region", "")
    region = answer.get("HTTPHeaders", {}).get("x-amz-bucket-region", "") or said
    return Failure(status, "" if code.isdigit() else code, region)


class Client:
    """One botocore client, and its calls with our errors."""

    def __init__(self, settings: S3Settings, login: Login) -> None:
        self._settings = settings
        self._login = login
        self._client = _create(settings, login)
        self._accepted = {call: self._parameters(call) for call in UPLOAD_CALLS}
        self._refuse_unknown()

    def call(
        self,
        operation: str,
        key: str | None,
        parameters: dict[str, Any],
        *,
        on_condition: type[LightermanError] = SourceChangedError,
    ) -> dict[str, Any]:
        """
        One call by botocore's name for it (``PutObject``), with the connection's own parameters where it
        takes them. The errors of ``failures``; whatever a body raises while it is read.
        """
        from botocore import exceptions, xform_name

        place = self._settings.place
        arguments = {"Bucket": self._settings.bucket, **self._extras(operation, parameters)}
        if key is not None:
            arguments["Key"] = key
        key = key or ""
        self._login.keys()  # renewed here where they must be, so that a refusal is told as such
        try:
            answer: dict[str, Any] = getattr(self._client, xform_name(operation))(**arguments)
        except exceptions.ClientError as error:
            failure = failure_of(error)
            raise failures.explained(place, failure, key, on_condition=on_condition) from error
        except exceptions.ParamValidationError as error:
            raise ConfigurationError(
                f"connection {place.connection!r} has a parameter that {operation} doesn't take",
                hint="check its s3_additional_kwargs",
                connection=place.connection,
                key=key,
            ) from error
        except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
            cause = error.kwargs.get("error")
            if isinstance(cause, LightermanError):  # the body's own: the file that is sent changed
                raise cause from error
            if isinstance(cause, RecursionError):
                raise _lost(place, key) from error
            raise broken(place, f"{error} {cause}", key) from error
        except RecursionError as error:
            raise _lost(place, key) from error
        except exceptions.BotoCoreError as error:
            raise TransientError(
                f"{place.endpoint} gave no answer that {operation} can read",
                connection=place.connection,
                key=key,
            ) from error
        return answer

    def close(self) -> None:
        self._client.close()

    def _extras(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        if operation in _OF_CUSTOMER_KEY:
            takes = self._parameters(operation)
            key = {name: v for name, v in self._customer_key().items() if name in takes}
            return parameters | key | self._payer(operation)
        if operation not in self._accepted:
            return parameters | self._payer(operation)
        accepted = self._accepted[operation]
        extras = {k: v for k, v in self._settings.write_kwargs.items() if k in accepted - _OWN}
        if self._settings.storage_class and "StorageClass" in accepted:
            extras = {"StorageClass": self._settings.storage_class} | extras
        merged = parameters | extras | self._payer(operation)
        if isinstance(extras.get("Metadata"), dict):
            merged["Metadata"] = {**extras["Metadata"], **parameters.get("Metadata", {})}  # type: ignore[dict-item]  # botocore checks it
        if operation == "CopyObject":
            merged |= self._customer_key()
            if "Tagging" in extras:
                merged["TaggingDirective"] = "REPLACE"
        return merged

    def _customer_key(self) -> dict[str, object]:
        """The customer's own key, for what is copied and for what it becomes."""
        kwargs = self._settings.write_kwargs
        key = {name: value for name, value in kwargs.items() if name.startswith(_CUSTOMER_KEY)}
        return key | {f"CopySource{name}": value for name, value in key.items()}

    def _payer(self, operation: str) -> dict[str, str]:
        if self._settings.requester_pays and "RequestPayer" in self._parameters(operation):
            return {"RequestPayer": "requester"}
        return {}

    def _parameters(self, operation: str) -> set[str]:
        shape = self._client.meta.service_model.operation_model(operation).input_shape
        return set(shape.members)

    def _refuse_unknown(self) -> None:
        known = set().union(*self._accepted.values()) - _OWN
        unknown = sorted(set(self._settings.write_kwargs) - known)
        if unknown:
            raise ConfigurationError(
                f"connection {self._settings.connection!r}: no upload call takes {unknown[0]!r}",
                hint="s3_additional_kwargs has botocore's names, as ServerSideEncryption",
                connection=self._settings.connection,
            )


def config_arguments(settings: S3Settings) -> dict[str, Any]:
    """The arguments of botocore's ``Config`` (and of what is made in its image) for a connection."""
    from botocore import UNSIGNED

    network = settings.network
    given = dict(settings.config_kwargs)
    given_s3 = given.pop("s3", {})
    # What was decided from these is in ours already.
    for name in ("signature_version", "user_agent", "user_agent_extra", "proxies"):
        given.pop(name, None)
    style = "virtual" if settings.virtual else "path"
    return {
        "signature_version": UNSIGNED if settings.anonymous else "s3v4",
        "connect_timeout": network.connect_seconds,
        "read_timeout": network.stall_seconds,
        "retries": {"total_max_attempts": 2, "mode": "standard"},
        "max_pool_connections": network.concurrency,
        "request_checksum_calculation": settings.checksums,
        "response_checksum_validation": settings.checksums,
        "user_agent": network.user_agent,
        "proxies": {"http": network.proxy, "https": network.proxy} if network.proxy else {},
        "s3": {"payload_signing_enabled": False, **_mapping(given_s3), "addressing_style": style},
        **given,
    }


def client_arguments(settings: S3Settings) -> dict[str, Any]:
    """The arguments of a session's ``create_client`` for a connection, but for its ``Config``."""
    return {
        "region_name": settings.region,
        "endpoint_url": settings.endpoint if settings.custom_endpoint else None,
        "use_ssl": settings.endpoint.startswith("https"),
        "verify": settings.network.verify,
        **settings.client_kwargs,
    }


def _create(settings: S3Settings, login: Login) -> Any:
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    if settings.network.verify is False:
        silence_unverified()
    session = login.session()
    try:
        config = Config(**config_arguments(settings))
        return session.create_client("s3", **({"config": config} | client_arguments(settings)))
    except (TypeError, ValueError, AttributeError, BotoCoreError) as error:  # of a wrong type
        raise ConfigurationError(
            f"connection {settings.connection!r}: botocore refuses its client_kwargs or config_kwargs:"
            f" {error}",
            hint="client_kwargs are those of botocore's create_client, config_kwargs those of its Config",
            connection=settings.connection,
        ) from error


def _lost(place: Place, key: str) -> LightermanError:
    """What botocore runs into: it asks a HEAD for a bucket's region, which redirects too, and so on."""
    return failures.explained(place, Failure(301, "PermanentRedirect"), key)


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("s3 must be a mapping")
    return value
