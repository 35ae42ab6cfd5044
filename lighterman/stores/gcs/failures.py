"""
What a refusal of GCS's means, and how it is mended: the JSON API's errors (status, ``reason``, a message), the
XML API's (status, ``Code``), and obstore's texts about them become a ``Failure``, which one table explains.

Foreign texts are looked at, never passed on: a URL in them could hold an upload session.
"""

import re
from typing import Final, NamedTuple, TypeAlias

import msgspec

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
)
from lighterman.stores.failures import Place, refused_by_proxy


class Failure(NamedTuple):
    """One answer that is no success."""

    status: int
    reason: str = ""
    """``errors[].reason`` of the JSON API, or ``Code`` of the XML API."""
    text: str = ""
    """The rest of it, for looking at."""


class TokenRefusedError(CredentialsError):
    """The token isn't valid (any more); another one may be."""


_ROLES: Final = {
    "storage.objects.get": "roles/storage.objectViewer",
    "storage.objects.list": "roles/storage.objectViewer",
    "storage.objects.create": "roles/storage.objectUser, or roles/storage.objectCreator where nothing is replaced",
    "storage.objects.delete": "roles/storage.objectUser",
    "storage.objects.update": "roles/storage.objectUser",
    "storage.buckets.get": "roles/storage.bucketViewer",
    "serviceusage.services.use": "roles/serviceusage.serviceUsageConsumer on the project that pays",
}
"""https://cloud.google.com/storage/docs/access-control/iam-roles"""
_SLOW: Final = {"rateLimitExceeded", "userRateLimitExceeded", "SlowDown", "RateLimitExceeded"}
_HELD: Final = {
    "retentionPolicyNotMet",
    "RetentionPolicyNotMet",
    "objectUnderActiveHold",
    "ObjectUnderActiveHold",
    "quotaExceeded",
    "uploadTooLarge",
    "EntityTooLarge",
    "InvalidObjectName",
    "KeyTooLongError",
}
_PAYER: Final = {"userProjectMissing", "UserProjectMissing", "UserProjectMissingError"}
_BUCKET: Final = re.compile(r"bucket does not exist|NoSuchBucket", re.IGNORECASE)
_PAYS: Final = re.compile(r"requester pays bucket but no user project", re.IGNORECASE)
_DAMAGED: Final = re.compile(
    r"BadDigest|doesn't match|does not match.*(?:crc32c|md5)", re.IGNORECASE
)
_NAME: Final = re.compile(r"object name", re.IGNORECASE)
_KMS: Final = re.compile(r"cloudkms|KMS key|encryption key", re.IGNORECASE)
_PERIMETER: Final = re.compile(r"vpcServiceControls|organization's policy", re.IGNORECASE)
_BILLING: Final = re.compile(r"billing account|accountDisabled|AccountProblem", re.IGNORECASE)
_PERMISSION: Final = re.compile(r"\b(?:storage|serviceusage)\.[a-z]\w+\.[a-z]\w+")
_NOBODY: Final = re.compile(r"Anonymous caller")
_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>\s*([\w.]+)\s*</Code>")


class _Reason(msgspec.Struct):
    reason: str = ""


class _Error(msgspec.Struct):
    message: str = ""
    errors: list[_Reason] = []


class _Body(msgspec.Struct):
    error: _Error


def from_answer(status: int, body: bytes) -> Failure:
    """The failure that an answer tells, in either API's form, or in the plain text of media answers."""
    try:
        error = msgspec.json.decode(body, type=_Body).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = body[:65536].decode("utf-8", "replace")
        code = _CODE.search(text)
        return Failure(status, code[1] if code else "", text)
    return Failure(status, error.errors[0].reason if error.errors else "", error.message)


def from_text(text: str) -> Failure | None:
    """The failure that obstore's text quotes; ``None`` if it quotes none."""
    status, code = _STATUS.search(text), _CODE.search(text)
    if status is None and code is None:
        return None
    return Failure(int(status[1]) if status else 400, code[1] if code else "", text)


def tells_object(failure: Failure) -> bool:
    """Whether a 404 says by itself that the bucket is there and the object isn't, or that the bucket isn't."""
    text = f"{failure.reason} {failure.text}"
    return "No such object" in text or "NoSuchKey" in text or bool(_BUCKET.search(text))


def is_damage(failure: Failure) -> bool:
    """Whether what arrived doesn't add up to the checksum that was sent along."""
    return failure.status == 400 and bool(_DAMAGED.search(f"{failure.reason} {failure.text}"))


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
    bucket = f"bucket {place.bucket!r} at {place.endpoint}"
    what = f"{key!r} in {bucket}" if key else bucket
    said = f"{failure.status} {failure.reason}".strip()
    kind, message, hint = (
        _of_load(place, failure, what, said)
        or _of_bucket(failure, key, bucket, said)
        or _of_content(failure, what, said)
        or _of_login(place, failure, what, said)
        or _of_status(place, failure, what, said, on_condition)
    )
    return kind(message, hint=hint, connection=place.connection, key=key)


_Meaning: TypeAlias = tuple[type[LightermanError], str, str]
"""The error's class, its message and its hint."""


def _of_load(place: Place, failure: Failure, what: str, said: str) -> _Meaning | None:
    if failure.status in {429, 503} or failure.reason in _SLOW:
        return SlowDownError, f"{place.endpoint} asks for fewer requests ({said})", ""
    is_down = failure.status >= 500 and failure.status != 501
    if is_down or failure.status in {408, 409}:
        return TransientError, f"{place.endpoint} failed at {what} ({said})", ""
    return None


def _of_bucket(failure: Failure, key: str, bucket: str, said: str) -> _Meaning | None:
    text = f"{failure.reason} {failure.text}"
    if failure.status == 404 and (not key or _BUCKET.search(text)):
        hint = "correct the connection's bucket or endpoint, or create the bucket"
        return BucketMissingError, f"there is no {bucket}", hint
    if failure.reason in _PAYER or _PAYS.search(text):
        hint = "set options.requester_pays: true; the project that pays is the login's, or GOOGLE_PROJECT"
        return ConfigurationError, f"{bucket} wants its requesters to pay ({said})", hint
    if failure.status in {400, 403} and _KMS.search(text):
        hint = (
            "check options.kms_key (projects/…/locations/…/keyRings/…/cryptoKeys/…), and grant the project's"
            " Cloud Storage service agent roles/cloudkms.cryptoKeyEncrypterDecrypter on the key"
        )
        return ConfigurationError, f"{bucket} can't use its encryption key ({said})", hint
    return None


def _of_content(failure: Failure, what: str, said: str) -> _Meaning | None:
    if is_damage(failure):
        return TransientError, f"{what} was damaged on its way to the store ({said})", ""
    if failure.reason in _HELD or failure.status == 413:
        return (
            CannotWriteError,
            f"the store won't take {what} ({said})",
            "look at its name and size, and at the bucket's holds, retention and quota",
        )
    if failure.status == 400 and _NAME.search(failure.text):
        return CannotWriteError, f"GCS takes no object of the name {what} ({said})", "rename it"
    return None


def _of_login(place: Place, failure: Failure, what: str, said: str) -> _Meaning | None:
    if failure.status not in {401, 403}:
        return None
    permission = _PERMISSION.search(failure.text)
    lacking = f", which lack {permission[0]}" if permission else ""
    message = (
        f"{place.endpoint} refuses the login to {what}"
        f" ({said}; credentials from {place.login}{lacking})"
    )
    if _NOBODY.search(failure.text):
        hint = (
            "the connection logs in as nobody, and the bucket isn't public: give it a secret,"
            " GOOGLE_APPLICATION_CREDENTIALS or workload identity"
        )
    elif failure.status == 401:
        hint = "the access token isn't valid (any more): renew the credentials, and check this machine's clock"
    elif permission:
        role = _ROLES.get(permission[0], "a role that has it")
        hint = f"grant {permission[0]} on the bucket: {role}"
    elif _PERIMETER.search(failure.text):
        hint = (
            "a VPC Service Controls perimeter or an organisation policy forbids it: ask its owner"
        )
    elif _BILLING.search(f"{failure.reason} {failure.text}"):
        hint = "the billing account of the bucket's project is closed or disabled: ask its owner"
    else:
        hint = "the login is known but may not do this: grant it roles/storage.objectUser on the bucket"
    if place.proxy and not failure.reason:
        hint += f"; it may be the proxy {place.proxy} that refuses: allow the host there"
    kind = TokenRefusedError if failure.status == 401 else CredentialsError
    return kind, message, place.with_mounts(hint)


def _of_status(
    place: Place, failure: Failure, what: str, said: str, on_condition: type[LightermanError]
) -> _Meaning:
    if failure.status == 404:
        return SourceMissingError, f"there is no {what}", ""
    if failure.status == 412:
        return on_condition, f"{what} is not in the state that was expected ({said})", ""
    if failure.status == 416:
        return SourceChangedError, f"{what} is shorter than it was ({said})", ""
    return (
        ConfigurationError,
        f"{place.endpoint} doesn't take the request for {what} ({said})",
        (
            "check the bucket's name, options.endpoint, storage_class, acl and kms_key:"
            " predefined ACLs need a bucket without uniform access"
        ),
    )
