"""One object asked for by its key, and why it can't be: a HEAD's answer has no body to say so."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from lighterman.errors import (
    ConfigurationError,
    CredentialsError,
    LightermanError,
    SourceMissingError,
)
from lighterman.stores.contract import ETag, Key, Stat
from lighterman.stores.s3 import etags
from lighterman.stores.s3.archives import is_archived_by_headers
from lighterman.stores.s3.configuration import S3Settings
from lighterman.stores.s3.failures import OtherRegionError
from lighterman.stores.s3.wire import Wire, attributes_of

_NOTHING_LISTED: Final = {"list-type": "2", "max-keys": "0"}


def stat(wire: Wire, settings: S3Settings, key: Key) -> Stat:
    """As the store's ``stat``."""
    try:
        headers = wire.call("HEAD", key, headers=settings.customer_key_headers).headers
    except LightermanError as error:
        reason = _reason(wire, settings, key, error)
        if reason is error:
            raise
        raise reason from error
    etag = headers.get("etag", "").strip('"')
    return Stat(
        key,
        int(headers.get("content-length", "0")),
        ETag(etag),
        parsedate_to_datetime(headers["last-modified"]).timestamp(),
        attributes_of(headers),
        archived=is_archived_by_headers(headers),
        checksum=etags.checksum_of(etag) if _has_md5(headers) else None,
    )


def named_region(wire: Wire, error: OtherRegionError) -> LightermanError:
    """
    The same error with the region's name, where the store tells it: a HEAD of the bucket does, in a header,
    when what obstore was answered is lost in its text.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadBucket.html
    """
    try:
        wire.call("HEAD", "")
    except OtherRegionError:
        return error
    except ConfigurationError as better:
        return better
    except LightermanError:
        return error
    return error


def _has_md5(headers: Mapping[str, str]) -> bool:
    encryption = headers.get("x-amz-server-side-encryption", "")
    customer = headers.get("x-amz-server-side-encryption-customer-algorithm")
    return not encryption.startswith("aws:kms") and not customer


def _reason(wire: Wire, settings: S3Settings, key: Key, error: LightermanError) -> LightermanError:
    if isinstance(error, OtherRegionError):
        return named_region(wire, error)
    # A 400 may be of the login too: an expired token is one.
    if not isinstance(error, (SourceMissingError, CredentialsError, ConfigurationError)):
        return error
    try:
        if isinstance(error, SourceMissingError):
            # Of the key's own prefix: a policy may let nobody list more.
            wire.call("GET", "", {**_NOTHING_LISTED, "prefix": key})
        else:
            headers = {"range": "bytes=0-0", **settings.customer_key_headers}
            wire.call("GET", key, headers=headers)
    except LightermanError as better:
        return error if isinstance(better, type(error)) and not better.hint else better
    return error
