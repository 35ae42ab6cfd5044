"""
Requests signed by Signature Version 4, with what doesn't change within a day computed once: botocore's signer
takes longer for a request than a small file takes in all, and 60 ms to import. It signs the same (a test compares
the two). What a body holds is signed of none but the empty one: ``UNSIGNED`` says so.
"""

import hashlib
import hmac
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from lighterman.stores.s3.login import Keys

NOTHING: Final = hashlib.sha256(b"").hexdigest()
"""Of the body, of which there is none."""
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
"""In place of a body's digest (API reference, "Signature Calculations"): TCP, TLS and ``Content-Length`` keep it whole."""
_DATE: Final = "x-amz-date"


class Signer:
    """
    Signs requests to one host with one set of keys; from any thread. ``more`` are the ``x-amz-…`` fields that all of them have,
    by names in lower case; ``given`` names further fields, whose values each request brings; ``body`` is what is said of its bytes.
    """

    def __init__(
        self,
        host: str,
        region: str,
        keys: Keys,
        more: Mapping[str, str],
        *,
        given: Sequence[str] = (),
        body: str = NOTHING,
    ) -> None:
        self._keys = keys
        self._region = region
        more = {**more, "x-amz-security-token": keys.token} if keys.token else more
        constant = {**more, "host": host, "x-amz-content-sha256": body}
        names = sorted([*constant, _DATE, *given])
        self._names = ";".join(names)
        self._given = sorted(given)
        # Where the date stands among the values that a request brings: fields are signed in the order of their names.
        self._date_at = sum(name < _DATE for name in given)
        canonical = "".join(
            f"{name}:{constant[name].strip().replace('%', '%%') if name in constant else '%s'}\n"
            for name in names
        )
        self._canonical = f"{canonical}\n{self._names}\n{body}"
        self._fields = f"x-amz-content-sha256: {body}\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in more.items()
        )
        self._given_fields = "".join(f"{name}: %s\r\n" for name in self._given)
        self._moment = _Moment(0, "", "", b"")

    def fields(
        self,
        path: str,
        now: float,
        *,
        method: str = "GET",
        query: str = "",
        values: tuple[str, ...] = (),
    ) -> str:
        """
        The header fields of a request that is made ``now`` (seconds since the epoch). ``path`` and
        ``query`` are as they are sent; the query's pairs are in the order of their names, ``values`` in that of the
        names that were ``given``, without blanks at their ends or in a row.
        """
        moment = self._moment
        if int(now) != moment.second:
            moment = self._moment = self._moment_at(int(now), moment)
        date, at = moment.date, self._date_at
        signed = self._canonical % (*values[:at], date, *values[at:])
        canonical = f"{method}\n{path}\n{query}\n{signed}"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{date}\n{moment.scope}\n{digest}"
        signature = hmac.digest(moment.key, text.encode(), "sha256").hex()
        return (
            f"x-amz-date: {date}\r\n{self._fields}{self._given_fields % values}"
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
