"""
Requests without a body, signed by Signature Version 4, with what doesn't change within a day computed once:
botocore's signer takes longer for a request than a small file takes in all, and 60 ms to import. It signs the
same (a test compares the two).
"""

import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from lighterman.stores.s3.login import Keys

_NOTHING: Final = hashlib.sha256(b"").hexdigest()
"""Of the body, of which there is none."""


class Signer:
    """
    Signs requests to one host with one set of keys; from any thread. ``more`` are the ``x-amz-…`` fields that all of them have,
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
        self._moment = _Moment(0, "", "", b"")

    def fields(self, path: str, now: float, *, method: str = "GET", query: str = "") -> str:
        """
        The header fields of a request without a body that is made ``now`` (seconds since the epoch). ``path`` and
        ``query`` are as they are sent; the query's pairs are in the order of their names.
        """
        moment = self._moment
        if int(now) != moment.second:
            moment = self._moment = self._moment_at(int(now), moment)
        date = moment.date
        canonical = f"{method}\n{path}\n{query}\n{self._before}{date}{self._after}"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{date}\n{moment.scope}\n{digest}"
        signature = hmac.digest(moment.key, text.encode(), "sha256").hex()
        return (
            f"x-amz-date: {date}\r\nx-amz-content-sha256: {_NOTHING}\r\n{self._fields}"
            f"authorization: AWS4-HMAC-SHA256 Credential={self._keys.access_key}/{moment.scope}, "
            f"SignedHeaders={self._names}, Signature={signature}\r\n"
        )

    def _moment_at(self, second: int, before: "_Moment") -> "_Moment":
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        scope = f"{date[:8]}/{self._region}/s3/aws4_request"
        if scope == before.scope:
            return before._replace(second=second, date=date)
        key = f"AWS4{self._keys.secret_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        return _Moment(second, date, scope, key)


class _Moment(NamedTuple):
    """What a second's signatures have in common. Whole, since threads share it."""

    second: int
    date: str
    scope: str
    key: bytes
