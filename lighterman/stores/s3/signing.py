"""
Requests without a body, signed by Signature Version 4, with what doesn't change within a day computed once:
botocore's signer takes longer for a request than a small file takes in all, and 60 ms to import. It signs the
same (a test compares the two).
"""

import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Final

from lighterman.stores.s3.login import Keys

_NOTHING: Final = hashlib.sha256(b"").hexdigest()
"""Of the body, of which there is none."""


class Signer:
    """
    Signs requests to one host with one set of keys. ``more`` are the ``x-amz-…`` fields that all of them have,
    by names in lower case.
    """

    def __init__(self, host: str, region: str, keys: Keys, more: Mapping[str, str]) -> None:
        self._keys = keys
        self._region = region
        more = {**more, "x-amz-security-token": keys.token} if keys.token else more
        names = sorted(["host", "x-amz-content-sha256", "x-amz-date", *more])
        self._names = ";".join(names)
        values = {**more, "host": host, "x-amz-content-sha256": _NOTHING, "x-amz-date": "\0"}
        canonical = "".join(f"{name}:{values[name].strip()}\n" for name in names)
        before, _, after = canonical.partition("\0")
        self._before = before
        self._after = f"{after}\n{self._names}\n{_NOTHING}"
        self._fields = "".join(f"{name}: {value}\r\n" for name, value in more.items())
        self._second = 0
        self._date = ""
        self._day = ""
        self._scope = ""
        self._key = b""

    def fields(self, path: str, now: float, *, method: str = "GET", query: str = "") -> str:
        """
        The header fields of a request without a body that is made ``now`` (seconds since the epoch). ``path`` and
        ``query`` are as they are sent; the query's pairs are in the order of their names.
        """
        second = int(now)
        if second != self._second:
            self._turn_to(second)
        date = self._date
        canonical = f"{method}\n{path}\n{query}\n{self._before}{date}{self._after}"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{date}\n{self._scope}\n{digest}"
        signature = hmac.digest(self._key, text.encode(), "sha256").hex()
        return (
            f"x-amz-date: {date}\r\nx-amz-content-sha256: {_NOTHING}\r\n{self._fields}"
            f"authorization: AWS4-HMAC-SHA256 Credential={self._keys.access_key}/{self._scope}, "
            f"SignedHeaders={self._names}, Signature={signature}\r\n"
        )

    def _turn_to(self, second: int) -> None:
        self._second = second
        self._date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        day = self._date[:8]
        if day != self._day:
            self._day = day
            self._scope = f"{day}/{self._region}/s3/aws4_request"
            key = f"AWS4{self._keys.secret_key}".encode()
            for part in self._scope.split("/"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key = key
