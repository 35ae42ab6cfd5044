"""
What went wrong, in our words: every engine's error becomes a ``Failure`` (a status and Azure's error code),
and one table says what it means and how to mend it.

Foreign texts are looked at, never passed on: a URL in them could hold a signature.
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
from lighterman.stores import failures
from lighterman.stores.failures import Place


class Failure(NamedTuple):
    """One answer that is no success."""

    status: int
    code: str = ""
    detail: str = ""
    """What the service says of a refused login: looked at, never shown."""


_ROLES: Final = (
    "give the login the role Storage Blob Data Reader to read, Storage Blob Data Contributor to write"
    " (the account's Owner and Contributor can't read blobs)"
)
_LOGIN_HINTS: Final = {
    "AuthenticationFailed": "check the account's name and AZURE_STORAGE_KEY (a character lost in copying?), or the SAS token",
    "AuthorizationPermissionMismatch": _ROLES
    + "; a SAS token needs the permissions r, l, and for outputs c, w, d",
    "AuthorizationFailure": "check the account's firewall and virtual networks, and the SAS token's scope and times;"
    " of an emulator: the account's name, AZURE_STORAGE_KEY, or the SAS token",
    "AuthorizationServiceMismatch": "the SAS token isn't for blobs: make one whose services hold b",
    "AuthorizationResourceTypeMismatch": "the SAS token lacks a resource type: make one with srt=co",
    "AuthorizationProtocolMismatch": "the SAS token is for https only: use an https endpoint",
    "AuthorizationSourceIPMismatch": "the SAS token is for other addresses than this machine's",
    "InsufficientAccountPermissions": _ROLES,
    "AccountIsDisabled": "the storage account is disabled: look at it in the portal",
    "KeyBasedAuthenticationNotPermitted": "the account allows no key and no SAS made with it: log in with Microsoft Entra (AZURE_CLIENT_ID …)",
    "NoAuthenticationInformation": "the container isn't public: give the connection a login",
    "PublicAccessNotPermitted": "the account allows no anonymous access: give the connection a login",
    "InvalidAuthenticationInfo": "the token isn't valid here: check the tenant (AZURE_TENANT_ID), and the clock of this machine",
}
_LOGIN_CODES: Final = {*_LOGIN_HINTS, "Unauthorized", "InvalidTokenSignature"}
_BUCKET_CODES: Final = {
    "ContainerNotFound",
    "ContainerBeingDeleted",
    "ContainerDisabled",
    "FilesystemNotFound",
}
_SLOW_CODES: Final = {"ServerBusy", "TooManyRequests", "OperationTimedOut", "IngressLimitReached"}
_TRANSIENT_CODES: Final = {
    "InternalError",
    "Md5Mismatch",
    "Crc64Mismatch",
    "IncompleteBody",
    "BlobOverwritten",
}
_CONDITION_CODES: Final = {
    "BlobAlreadyExists",
    "ConditionNotMet",
    "SourceConditionNotMet",
    "TargetConditionNotMet",
}
_IN_THE_WAY: Final = {
    "BlobImmutableDueToPolicy": "the container's immutability policy or legal hold keeps this object: write elsewhere",
    "InvalidBlobType": "an append or page blob is in its place: delete it first",
    "LeaseIdMissing": "someone holds a lease on it: break the lease",
    "SnapshotsPresent": "it has snapshots: delete them first (az storage blob delete --delete-snapshots include)",
    "ResourceTypeMismatch": "a directory of that name is in its place (hierarchical namespace)",
    "PathConflict": "a file and a directory would have the same name (hierarchical namespace)",
    "PathAlreadyExists": "a file and a directory would have the same name (hierarchical namespace)",
    "BlockCountExceedsLimit": "unfinished uploads of it hold too many blocks: they end after a week, or with the object's deletion",
    "InvalidBlobOrBlock": "someone else's unfinished upload of it is in the way: it ends after a week, or when the object is written whole",
    "RequestBodyTooLarge": "the object or part is larger than the account takes",
    "AccountQuotaExceeded": "the account is full",
    "InvalidResourceName": "rename the file",
    "OutOfRangeInput": "rename the file: its key is longer than 1,024 characters, or empty",
}
_OPTION_CODES: Final = {
    "InvalidAccessTier": "options.storage_class",
    "BlobTierInadequateForContentLength": "options.storage_class",
    "AccessTierNotSupportedForBlobType": "options.storage_class",
    "FeatureNotSupportedForAccount": "options.storage_class or options.tags",
    "BlobTagsNotSupportedForAccountType": "options.tags",
    "InvalidTags": "options.tags",
    "EncryptionScopeNotFound": "options.kms_key",
    "EncryptionScopeDisabled": "options.kms_key",
    "ContainerEncryptionScopeMismatch": "options.kms_key",
}
_STATUS: Final = re.compile(r"(?:status code: |status: |HTTP error: |status )(\d{3})")
_CODE: Final = re.compile(r"<Code>\s*(\w+)\s*</Code>")
_DETAIL: Final = re.compile(r"<AuthenticationErrorDetail>([^<]{0,600})")
_EXPIRED: Final = re.compile(
    r"Signed expiry time|signature not valid in the specified time frame|expired|lifetime",
    re.IGNORECASE,
)
_NOT_YET: Final = re.compile(r"Signed start time|not yet valid", re.IGNORECASE)
_SKEWED: Final = re.compile(
    r"[Dd]ate header.{0,40}(?:too old|is not|skew)|clock ?skew|Request date header too old",
    re.IGNORECASE,
)


def from_text(text: str) -> Failure | None:
    """The failure that an engine's text quotes (a status, and Azure's XML); ``None`` if it quotes none."""
    status, code = _STATUS.search(text), _CODE.search(text)
    if status is None and code is None:
        return None
    detail = _DETAIL.search(text)
    return Failure(
        int(status[1]) if status else 400, code[1] if code else "", detail[1] if detail else ""
    )


def from_answer(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """The failure that an HTTP answer tells: a HEAD's only by its headers."""
    text = body[:65536].decode("utf-8", "replace")
    code, detail = _CODE.search(text), _DETAIL.search(text)
    return Failure(
        status,
        headers.get("x-ms-error-code", "") or (code[1] if code else ""),
        detail[1] if detail else "",
    )


def broken(place: Place, text: str, key: str = "") -> LightermanError:
    """As ``failures.broken``; a name that doesn't resolve is most often a misspelled account."""
    error = failures.broken(place, text, key)
    if isinstance(error, TransientError) and "doesn't resolve" in error.message:
        error.hint = (
            f"there may be no such storage account: check its spelling (it is a part of {place.endpoint}),"
            " its cloud, and the DNS"
        )
    return error


def explained(
    place: Place,
    failure: Failure,
    key: str = "",
    *,
    on_condition: type[LightermanError] = SourceChangedError,
) -> LightermanError:
    """
    The error that a failed request is to its caller. ``on_condition`` is what a condition of the request
    (412, 409 BlobAlreadyExists) means: of a pinned read ``SourceChangedError``, of a write
    ``ConditionFailedError``.
    """
    if failure.status == 407:
        return failures.refused_by_proxy(place, failure.status, key)
    kind, message, hint = _meaning(place, failure, key, on_condition)
    return kind(message, hint=hint, connection=place.connection, key=key)


_Meaning: TypeAlias = tuple[type[LightermanError], str, str]


def _meaning(
    place: Place, failure: Failure, key: str, on_condition: type[LightermanError]
) -> _Meaning:
    container = f"container {place.bucket!r}"
    what = f"{key!r} in {container}" if key else container
    said = f"{failure.status} {failure.code}".strip()
    return (
        _of_code(place, failure, what, said)
        or _of_load(place, failure, what, said)
        or _of_login(place, failure, what, said)
        or _of_status(place, failure, key, what, said, on_condition)
    )


def _of_code(place: Place, failure: Failure, what: str, said: str) -> _Meaning | None:
    code = failure.code
    if code in _BUCKET_CODES:
        hint = "correct the connection's container or account, or create the container"
        return (
            BucketMissingError,
            f"there is no container {place.bucket!r} at {place.endpoint}",
            hint,
        )
    if code == "InvalidBlockList":
        return UploadMissingError, f"the upload of {what} lacks a part ({said})", ""
    if code in {"BlobArchived", "BlobBeingRehydrated"}:
        hint = "rehydrate the object first (az storage blob set-tier --tier Hot)"
        return SourceMissingError, f"{what} is archived: its bytes can't be read", hint
    if code in _IN_THE_WAY:
        return (
            CannotWriteError,
            f"the store won't take or delete {what} ({said})",
            _IN_THE_WAY[code],
        )
    if code in _OPTION_CODES:
        message = f"the account at {place.endpoint} doesn't take this for {what} ({said})"
        return ConfigurationError, message, f"check {_OPTION_CODES[code]} of the connection"
    return None


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
    hint = _LOGIN_HINTS.get(failure.code, _ROLES)
    why = ""
    if _SKEWED.search(failure.detail):
        why, hint = (
            ": the request's time is off",
            "this machine's clock is off by more than 15 minutes: set it",
        )
    elif _EXPIRED.search(failure.detail):
        why, hint = ": it has expired", "the SAS token or bearer token has expired: renew it"
    elif _NOT_YET.search(failure.detail):
        why, hint = (
            ": it isn't valid yet",
            "the SAS token starts later: check its st, and this machine's clock",
        )
    if place.proxy and not failure.code:
        hint += f"; it may be the proxy {place.proxy} that refuses: allow the host there"
    message = f"{place.endpoint} refuses the login to {what}{why} ({said}; credentials from {place.login})"
    return CredentialsError, message, place.with_mounts(hint)


def _of_status(
    place: Place,
    failure: Failure,
    key: str,
    what: str,
    said: str,
    on_condition: type[LightermanError],
) -> _Meaning:
    if failure.status == 404 and not key:
        return (
            BucketMissingError,
            f"there is no {what} at {place.endpoint} ({said})",
            "correct the connection's account, endpoint or container",
        )
    if failure.status == 404:
        return SourceMissingError, f"there is no {what}", ""
    if failure.status in {304, 412} or failure.code in _CONDITION_CODES:
        return on_condition, f"{what} is not in the state that was expected ({said})", ""
    if failure.status == 416:
        return SourceChangedError, f"{what} is shorter than it was ({said})", ""
    return (
        ConfigurationError,
        f"{place.endpoint} doesn't take the request for {what} ({said})",
        "check that the endpoint is a blob service (https://ACCOUNT.blob.core.windows.net), and the options",
    )
