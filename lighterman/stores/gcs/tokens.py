"""
google-auth's transport over this program's own connections: our proxy, CA and timeouts, one attempt. An
answer that may pass by itself is raised from here as what it is, so that google-auth doesn't retry it.
"""

import json
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from lighterman.errors import SlowDownError, TransientError
from lighterman.stores.failures import Place
from lighterman.stores.http import Http
from lighterman.stores.network import Network

MOST_SECONDS: Final = 30.0
"""A token endpoint answers at once, or has trouble."""
METADATA_SECONDS: Final = 10.0
"""The metadata server of GKE asks IAM before it answers."""
_LINK_LOCAL: Final = ("169.254.169.254", "fd00:ec2::254", "metadata.google.internal")
"""Metadata servers of the clouds, which no proxy can reach."""
_LATER: Final = frozenset({"internal_failure", "server_error", "temporarily_unavailable"})
"""RFC 6749, 4.1.2.1, and Google's own: a 400 that may pass."""


class Reply(NamedTuple):
    """An answer as google-auth takes it."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class Answer(NamedTuple):
    """What the last answer said, as far as it is needed to explain a refusal."""

    status: int
    origin: str
    error: str = ""
    """OAuth's code (``invalid_grant``), or an API's status (``PERMISSION_DENIED``)."""
    description: str = ""
    """Foreign text: to be looked at, never to be shown."""
    behind_seconds: float = 0.0
    """How far this machine's clock is behind the server's; negative: ahead."""


class Transport:
    """Callable as a ``google.auth.transport.Request``. For one thread at a time."""

    def __init__(
        self, reach: Callable[[str], Network], place: Place, *, is_metadata: bool = False
    ) -> None:
        self._reach = reach
        self._place = place
        self._is_metadata = is_metadata
        self._https: dict[str, Http] = {}
        self.last: Answer | None = None
        """``None``: nothing was asked yet since ``forget``."""

    def forget(self) -> None:
        """Begin anew: what comes next isn't explained by what came before."""
        self.last = None

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002  # ours are the network's
    ) -> Reply:
        """One request. ``TransientError``, and what else no answer means, besides google-auth's own."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if not parts.path:
            url = url.replace(origin, f"{origin}/", 1)
        http = self._http(origin, str(parts.hostname or ""))
        response = http.send(
            method, url, dict(headers or {}), body=(lambda: body) if body else None
        )
        data = http.read_all(response)
        response.release_conn()
        self.last = _answer(response.status, origin, response.headers, data)
        self._raise_if_passing(self.last)
        return Reply(response.status, response.headers, data)

    def close(self) -> None:
        """Let go of the connections."""
        for http in list(self._https.values()):
            http.close()

    def _http(self, origin: str, host: str) -> Http:
        found = self._https.get(origin)
        if found is None:
            network = self._reach(origin)
            most = METADATA_SECONDS if self._is_metadata else MOST_SECONDS
            changes: dict[str, Any] = {
                "stall_seconds": min(most, network.stall_seconds),
                "concurrency": 1,
            }
            if self._is_metadata or host in _LINK_LOCAL:
                changes["proxy"] = None
            network = msgspec.structs.replace(network, **changes)
            place = self._place._replace(endpoint=origin, proxy=network.proxy_host)
            found = self._https[origin] = Http(network, place)
        return found

    def _raise_if_passing(self, answer: Answer) -> None:
        connection = self._place.connection
        said = f"{answer.status} {answer.error}".strip()
        if answer.status == 429:
            raise SlowDownError(
                f"{answer.origin} gives out no more tokens for now ({said})", connection=connection
            )
        if answer.status >= 500 or answer.status == 408 or answer.error in _LATER:
            raise TransientError(
                f"{answer.origin} failed to give out a token ({said})", connection=connection
            )


def _answer(status: int, origin: str, headers: Mapping[str, str], data: bytes) -> Answer:
    error, description = "", ""
    if status >= 400:
        error, description = _said(data[:65536])
    return Answer(status, origin, error, description, _behind_seconds(headers.get("Date", "")))


def _said(data: bytes) -> tuple[str, str]:
    """The code and text of a refusal, in OAuth's form, in that of Google's APIs, or in none."""
    try:
        body = json.loads(data)
    except ValueError:
        return "", data.decode("utf-8", "replace")
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        return _code(error.get("status")), str(error.get("message") or "")
    if isinstance(error, str):
        return _code(error), str(body.get("error_description") or "")
    return "", ""


def _code(value: object) -> str:
    """A code, and no text that only stands in its place."""
    is_code = isinstance(value, str) and len(value) <= 64 and value.replace("_", "").isalnum()
    return str(value) if is_code else ""


def _behind_seconds(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except ValueError:  # no date, or none that can be read
        return 0.0
