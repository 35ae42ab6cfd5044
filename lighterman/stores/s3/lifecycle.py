"""
Whether a bucket cleans up uploads that nobody finished: their parts are paid for, and no listing shows them.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpu-abort-incomplete-mpu-lifecycle-config.html
"""

from typing import TYPE_CHECKING, Final

from lighterman.errors import ConfigurationError, CredentialsError, SourceMissingError
from lighterman.stores.advice import Advice
from lighterman.stores.s3.wire import Wire

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

TOPIC: Final = "lifecycle"
_HINT: Final = (
    "give the bucket a lifecycle rule with AbortIncompleteMultipartUpload, DaysAfterInitiation: 7: "
    "parts of uploads that a crash left open are kept, and paid for, until then"
)


def advice(wire: Wire, prefix: str) -> Advice:
    """What the bucket's rules say about open uploads below ``prefix``."""
    try:
        document = wire.call("GET", "", {"lifecycle": ""}).body
    except SourceMissingError:  # NoSuchLifecycleConfiguration
        return Advice(TOPIC, "the bucket has no rule that aborts incomplete uploads", _HINT)
    except CredentialsError:
        said = (
            "unknown whether incomplete uploads are aborted: it takes s3:GetLifecycleConfiguration"
        )
        return Advice(TOPIC, said, is_known=False)
    except ConfigurationError:  # 400, 501: a store without lifecycle rules
        return Advice(TOPIC, "unknown: the store tells of no lifecycle rules", is_known=False)
    days = aborts_after_days(document, prefix)
    if days is None:
        return Advice(TOPIC, "no rule of the bucket aborts incomplete uploads there", _HINT)
    return Advice(TOPIC, f"incomplete uploads are aborted after {days} days")


def aborts_after_days(document: bytes, prefix: str) -> int | None:
    """
    After how many days a ``LifecycleConfiguration`` aborts every open upload whose key starts with
    ``prefix``; ``None`` if it doesn't, or can't be read.
    """
    from xml.etree import ElementTree as ET

    try:
        root = ET.fromstring(document)  # noqa: S314  # expat bounds entities since 2.4.1
    except ET.ParseError:
        return None
    found = [
        int(days)
        for rule in root.iter()
        if _local(rule) == "Rule"
        and _text(rule, "Status") == "Enabled"
        and prefix.startswith(_text(rule, "Prefix"))
        and (days := _text(rule, "AbortIncompleteMultipartUpload", "DaysAfterInitiation")).isdigit()
    ]
    return min(found, default=None)


def _text(element: "Element", *path: str) -> str:
    """
    The text of the first element so named anywhere below, and so on; ``""`` if there is none. A rule's
    prefix stands in it, in its Filter or in the Filter's And.
    """
    for name in path:
        found = next((below for below in element.iter() if _local(below) == name), None)
        if found is None:
            return ""
        element = found
    return element.text or ""


def _local(element: "Element") -> str:
    return element.tag.rpartition("}")[2]
