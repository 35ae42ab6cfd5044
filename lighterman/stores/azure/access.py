"""
How a request to Azure is let in: signed with the account's key, with a shared access signature, with a
token, or not at all.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

from lighterman.secret import MASK, Secret

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken

API_VERSION: Final = "2023-11-03"
"""List Blobs quotes names that XML can't hold since 2021-02-12, and the tier Cold is there since 2021-12-02."""
SCOPE: Final = "https://storage.azure.com/.default"
_SIGNED_HEADERS: Final = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)
_SOURCE_SAS_VERSION: Final = "2020-12-06"
_SOURCE_SAS_SECONDS: Final = 3600.0


class Token(NamedTuple):
    """A bearer token of Microsoft Entra's."""

    token: str
    expires_seconds: float
    """Since the epoch."""

    def __repr__(self) -> str:
        return f"Token({MASK})"


class Access(NamedTuple):
    """At most one of the three; none of them is anonymous."""

    account: str
    key: Secret | None = None
    """The account's, in base64."""
    sas: Secret | None = None
    """A query string, without its question mark."""
    token: Callable[[], Token] | None = None
    """Gives one that is still good for some minutes. ``CredentialsError``, ``TransientError``."""

    def authorized(
        self, method: str, url: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[str, dict[str, str]]:
        """The URL to ask for, with its query, and all headers of the request."""
        given = {
            "x-ms-date": formatdate(usegmt=True),
            "x-ms-version": API_VERSION,
            **headers,
        }
        pairs = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in query.items())
        if self.sas:
            pairs = "&".join(filter(None, (pairs, self.sas.reveal())))
        elif self.key:
            text = _to_sign(self.account, method, url, query, given)
            given["authorization"] = f"SharedKey {self.account}:{self._signature(text)}"
        elif self.token:
            given["authorization"] = f"Bearer {self.token().token}"
        return f"{url}?{pairs}" if pairs else url, given

    def source(self, url: str, container: str, key: str, now_seconds: float) -> dict[str, str]:
        """
        The headers that name a blob of the same account as the source of a copy. The service fetches it
        like a stranger: it has to be let in by itself (Copy Blob From URL, ``x-ms-copy-source``).
        """
        if self.token:
            return {
                "x-ms-copy-source": url,
                "x-ms-copy-source-authorization": f"Bearer {self.token().token}",
            }
        query = self.sas.reveal() if self.sas else ""
        if self.key:
            query = self._read_sas(container, key, now_seconds)
        return {"x-ms-copy-source": f"{url}?{query}" if query else url}

    def credential(self) -> Any:
        """What the SDK's clients take as ``credential``."""
        if self.key:
            return {"account_name": self.account, "account_key": self.key.reveal()}
        if self.sas:
            return self.sas.reveal()
        return _TokenCredential(self.token) if self.token else None

    def _read_sas(self, container: str, key: str, now_seconds: float) -> str:
        """A shared access signature that lets one blob be read for an hour ("Create a service SAS")."""
        import time

        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_seconds + _SOURCE_SAS_SECONDS))
        resource = f"/blob/{self.account}/{container}/{key}"
        # Permissions, start, end, resource, identifier, addresses, protocol, version, kind of resource, snapshot,
        # encryption scope, and five headers of the answer.
        fields = ["r", "", ends, resource, "", "", "", _SOURCE_SAS_VERSION, "b", *[""] * 7]
        query = {
            "sv": _SOURCE_SAS_VERSION,
            "se": ends,
            "sr": "b",
            "sp": "r",
            "sig": self._signature("\n".join(fields)),
        }
        return "&".join(f"{name}={_quoted(value)}" for name, value in query.items())

    def _signature(self, text: str) -> str:
        key = base64.b64decode(self.key.reveal()) if self.key else b""
        return base64.b64encode(hmac.digest(key, text.encode(), hashlib.sha256)).decode()


class _TokenCredential:
    """A token as the SDK asks for it."""

    def __init__(self, token: Callable[[], Token]) -> None:
        self._token = token

    def get_token(self, *_scopes: str, **_options: Any) -> "AccessToken":
        from azure.core.credentials import AccessToken

        found = self._token()
        return AccessToken(found.token, int(found.expires_seconds))


def _to_sign(
    account: str, method: str, url: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> str:
    """The text that a request's signature is of ("Authorize with Shared Key", version 2015-02-21 and later)."""
    plain = {**headers}
    if plain.get("content-length") == "0":
        del plain["content-length"]
    lines = [method, *(plain.get(name, "") for name in _SIGNED_HEADERS)]
    lines += [f"{name}:{plain[name]}" for name in sorted(plain) if name.startswith("x-ms-")]
    lines.append(f"/{account}{urlsplit(url).path}")
    lines += [f"{name}:{query[name]}" for name in sorted(query)]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return quote(text, safe="-._~")
