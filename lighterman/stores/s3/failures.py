"""
What went wrong, in our words: every engine's error becomes a ``Failure`` (a status and S3's error code, or
a broken connection), and one table says what it means and how to mend it.

Foreign texts are looked at, never passed on: a URL or header in them could hold a credential.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from lighterman.errors import (
    BucketMissingError,
    CannotWriteError,
    ConfigurationError,
    CredentialsError,
    LightermanError,
    SlowDownError,
    SourceChangedError,
    SourceMissingError,
    TransientError,
    UploadMissingError,
)
from lighterman.stores.failures import Place, refused_by_proxy


class OtherRegionError(ConfigurationError):
    """The bucket is in another region than was asked, and the answer didn't name it (78)."""


class Failure(NamedTuple):
    """One answer that is no success."""

    status: int
    code: str = ""
    region: str = ""
    """The right one, where the store tells it."""


_LOGIN_HINTS: Final = {
    "InvalidAccessKeyId": "the store doesn't know this access key: check AWS_ACCESS_KEY_ID, and that it belongs to this endpoint",
    "SignatureDoesNotMatch": "the secret doesn't fit the access key: check AWS_SECRET_ACCESS_KEY (a character lost in copying?)",
    "AccessDenied": "the login is known but may not do this: check the bucket's policy and the user's or role's permissions",
    "ExpiredToken": "the session token has expired: renew the credentials",
    "InvalidToken": "the session token isn't valid here: check AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "this machine's clock is off by more than 15 minutes: set it",
}
_LOGIN_CODES: Final = {
    *_LOGIN_HINTS,
    "AccountProblem",
    "AllAccessDisabled",
    "AuthFailure",
    "ExpiredTokenException",
    "IDPRejectedClaim",
    "InvalidClientTokenId",
    "InvalidIdentityToken",
    "InvalidSecurity",
    "NotSignedUp",
    "TokenRefreshRequired",
    "UnauthorizedAccess",
    "XMinioInvalidAccessKeyId",
}
_REGION_CODES: Final = {
    "PermanentRedirect",
    "TemporaryRedirect",
    "Redirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
}
_SLOW_CODES: Final = {
    "SlowDown",
    "SlowDownRead",
    "SlowDownWrite",
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "TooManyRequestsException",
    "BandwidthLimitExceeded",
}
_TRANSIENT_CODES: Final = {
    "RequestTimeout",
    "RequestTimeoutException",
    "InternalError",
    "IncompleteBody",
    "BadDigest",
    "XAmzContentSHA256Mismatch",
    "ConditionalRequestConflict",
    "OperationAborted",
    "PriorRequestNotComplete",
}
_FULL_CODES: Final = {"QuotaExceeded", "XMinioStorageFull", "EntityTooLarge", "KeyTooLongError"}

_ARCHIVED_CODES: Final = {"InvalidObjectState", "ObjectNotInActiveTierError"}

_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>\s*([\w.]+)\s*</Code>")
_REGION: Final = re.compile(r"<Region>\s*([\w-]+)\s*</Region>")
_ENDPOINT_REGION: Final = re.compile(r"<Endpoint>[^<]*?s3[.-]([a-z]{2}(?:-[a-z]+)+-\d)")


def from_text(text: str) -> Failure | None:
    """The failure that an engine's text quotes (a status, and S3's XML); ``None`` if it quotes none."""
    if "redirect without LOCATION" in text:  # obstore's word for S3's PermanentRedirect
        return Failure(301, "PermanentRedirect")
    status, code = _STATUS.search(text), _CODE.search(text)
    if status is None and code is None:
        return None
    region = _REGION.search(text) or _ENDPOINT_REGION.search(text)
    return Failure(
        int(status[1]) if status else 400, code[1] if code else "", region[1] if region else ""
    )


def from_answer(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """The failure that an HTTP answer tells."""
    found = from_text(body[:65536].decode("utf-8", "replace"))
    region = headers.get("x-amz-bucket-region") or (found.region if found else "")
    return Failure(status, found.code if found else "", region)


def explained(
    place: Place,
    failure: Failure,
    key: str = "",
    *,
    on_condition: type[LightermanError] = SourceChangedError,
) -> LightermanError:
    """
    The error that a failed request is to its caller. ``on_condition`` is what a condition of the request
    (412) means: of a pinned read ``SourceChangedError``, of a write ``ConditionFailedError``.
    """
    if failure.status == 407:
        return refused_by_proxy(place, failure.status, key)
    kind, message, hint = _meaning(place, failure, key, on_condition)
    return kind(message, hint=hint, connection=place.connection, key=key)


def archived(place: Place, key: str) -> LightermanError:
    """The error of an object whose bytes can't be read before a restore."""
    return explained(place, Failure(403, "InvalidObjectState"), key)


_Meaning: TypeAlias = tuple[type[LightermanError], str, str]
"""The error's class, its message and its hint."""


def _meaning(
    place: Place, failure: Failure, key: str, on_condition: type[LightermanError]
) -> _Meaning:
    bucket = f"bucket {place.bucket!r} at {place.endpoint}"
    what = f"{key!r} in {bucket}" if key else bucket
    said = f"{failure.status} {failure.code}".strip()
    return (
        _of_code(failure.code, bucket, what, said)
        or _of_nowhere(failure, key, bucket, said)
        or _of_region(place, failure, bucket, said)
        or _of_load(place, failure, what, said)
        or _of_login(place, failure, what, said)
        or _of_status(place, failure, what, said, on_condition)
    )


def _of_code(code: str, bucket: str, what: str, said: str) -> _Meaning | None:
    if code == "NoSuchBucket":
        hint = "correct the connection's bucket or endpoint, or create the bucket"
        return BucketMissingError, f"there is no {bucket}", hint
    if code == "NoSuchUpload":
        return UploadMissingError, f"the store knows no such upload of {what}", ""
    if code in {"InvalidPart", "InvalidPartOrder"}:
        return UploadMissingError, f"the upload of {what} lacks a part ({said})", ""
    if code in _ARCHIVED_CODES:
        hint = "restore the object first"
        return SourceMissingError, f"{what} is archived: its bytes can't be read", hint
    if code in _FULL_CODES:
        return CannotWriteError, f"the store won't take {what} ({said})", ""
    return None


def _of_nowhere(failure: Failure, key: str, bucket: str, said: str) -> _Meaning | None:
    """Of a request to the bucket itself, as a listing, a 404 without its code is of an endpoint that has none."""
    if failure.status != 404 or failure.code or key:
        return None
    hint = "correct the connection's bucket or endpoint: it may be none of S3"
    return BucketMissingError, f"there is no {bucket} ({said})", hint


def _of_region(place: Place, failure: Failure, bucket: str, said: str) -> _Meaning | None:
    is_another = failure.region and failure.region != place.region
    redirects = failure.code in _REGION_CODES or failure.status in {301, 307}
    if not redirects and not (is_another and failure.status in {400, 403}):
        return None
    if not is_another:
        message = f"{bucket} is not in region {place.region} ({said})"
        hint = "set the connection's region (AWS_REGION, or options.region) to the bucket's"
        return OtherRegionError, message, hint
    message = f"{bucket} is in region {failure.region}, not in {place.region} ({said})"
    return ConfigurationError, message, f"set the connection's region to {failure.region}"


def _of_load(place: Place, failure: Failure, what: str, said: str) -> _Meaning | None:
    if failure.status in {429, 503} or failure.code in _SLOW_CODES:
        return SlowDownError, f"{place.endpoint} asks for fewer requests ({said})", ""
    is_down = failure.status >= 500 and failure.status != 501
    if is_down or failure.status == 408 or failure.code in _TRANSIENT_CODES:
        return TransientError, f"{place.endpoint} failed at {what} ({said})", ""
    return None


def _of_login(place: Place, failure: Failure, what: str, said: str) -> _Meaning | None:
    if failure.code not in _LOGIN_CODES and failure.status not in {401, 403}:
        return None
    hint = _LOGIN_HINTS.get(failure.code, _LOGIN_HINTS["AccessDenied"])
    if place.proxy and not failure.code:
        hint += f"; it may be the proxy {place.proxy} that refuses: allow the host there"
    message = (
        f"{place.endpoint} refuses the login to {what} ({said}; credentials from {place.login})"
    )
    return CredentialsError, message, place.with_mounts(hint)


def _of_status(
    place: Place, failure: Failure, what: str, said: str, on_condition: type[LightermanError]
) -> _Meaning:
    if failure.status == 404:
        return SourceMissingError, f"there is no {what}", ""
    if failure.status == 412:
        return on_condition, f"{what} is not in the state that was expected ({said})", ""
    if failure.status == 416:
        return SourceChangedError, f"{what} is shorter than it was ({said})", ""
    hint = "a store that isn't AWS may want options.checksums: when_required or another addressing_style"
    if failure.code in {"InvalidRequest", "InvalidArgument"}:
        hint = f"an object under a customer's own key wants it: s3_additional_kwargs, SSECustomerKey; {hint}"
    return (
        ConfigurationError,
        f"{place.endpoint} doesn't take the request for {what} ({said})",
        hint,
    )
