"""
The access token of a GCS connection, always one that is good. A key file and the metadata server are
google-auth's to ask, which is loaded only then; nobody else is asked, and nothing for an anonymous login.
"""

import json
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypedDict

from lighterman.clock import Clock, SystemClock
from lighterman.connections.gcs_login import GcsLogin
from lighterman.errors import ConfigurationError, NoCredentialsError
from lighterman.secret import scrub_passing
from lighterman.stores.failures import Place
from lighterman.stores.gcs.refusals import refused
from lighterman.stores.gcs.tokens import Transport
from lighterman.stores.network import Network
from lighterman.stores.renewal import Lease, Renewed

EARLY_SECONDS: Final = 225.0
"""A token is renewed this long before its end, as google-auth does it: the metadata server gives a new one
only in the last minutes of the old one. Or at half of a life that is too short for that."""
RETRY_SECONDS: Final = 10.0
"""After an early renewal that failed, the next one."""
UNSAID_SECONDS: Final = 300.0
"""The life of a token whose end isn't told."""
LEAST_SECONDS: Final = 10.0
"""The life of a token that ended before it came: by a clock that is off."""
METADATA_HOST: Final = "metadata.google.internal"
_PRODUCT: Final = "/sys/class/dmi/id/product_name"
"""Begins with ``Google`` on Google's machines: https://cloud.google.com/compute/docs/instances/detect-compute-engine."""

_LOADERS: Final = {
    "service_account": ("google.oauth2.service_account", "from_service_account_info"),
    "authorized_user": ("google.oauth2.credentials", "from_authorized_user_info"),
    "impersonated_service_account": (
        "google.auth.impersonated_credentials",
        "from_impersonated_service_account_info",
    ),
    "external_account_authorized_user": (
        "google.auth.external_account_authorized_user",
        "from_info",
    ),
}
_OWN_SCOPES: Final = ("authorized_user", "external_account_authorized_user")
"""A user's scopes are those that were granted at the login."""


class Credential(TypedDict):
    """What obstore's credential provider gives."""

    token: str
    expires_at: datetime | None


class Login(Protocol):
    """Where the engines get their token, for each request. Safe to share among threads."""

    def token(self) -> str | None:
        """
        The bearer token to send now; ``None``: send none. ``CredentialsError`` for a login that is refused,
        ``TransientError`` while nobody can be asked.
        """
        ...

    def renewed(self, refused_token: str) -> str | None:
        """Another token than the one that the store has just refused; ``None`` if there is no other."""
        ...

    def credential(self) -> Credential:
        """
        The same for obstore, as its credential provider. An anonymous login needs ``skip_signature``
        besides: obstore then asks only for what it writes.
        """
        ...

    def close(self) -> None:
        """Let go of the connections."""
        ...


def login_of(
    login: GcsLogin, place: Place, reach: Callable[[str], Network], clock: Clock | None = None
) -> Login:
    """
    The login that a connection's credentials are; nothing is asked yet. ``reach`` gives the way to the
    endpoints that give out tokens (``https://oauth2.googleapis.com``): proxy, CA, timeouts.
    """
    if login.anonymous:
        return Anonymous()
    return Tokens(login, place, reach, clock or SystemClock())


class Anonymous:
    """Nobody: for public buckets and emulators."""

    def token(self) -> None:
        return None

    def renewed(self, refused_token: str) -> None:  # noqa: ARG002  # there never was one
        return None

    def credential(self) -> Credential:
        return {"token": "anonymous", "expires_at": None}

    def close(self) -> None:
        """There is nothing to let go of."""


class Tokens:
    """Tokens that google-auth gets, renewed before they end: by one thread, while the others go on."""

    def __init__(
        self, login: GcsLogin, place: Place, reach: Callable[[str], Network], clock: Clock
    ) -> None:
        self._login = login
        self._place = place
        self._clock = clock
        self._transport = Transport(reach, place, is_metadata=login.key_file is None)
        self._credentials: Any = None
        self._tokens = Renewed(
            self._fetch,
            clock.monotonic,
            again_seconds=RETRY_SECONDS,
            connection=place.connection,
            source=login.source,
        )

    def token(self) -> str:
        return self._tokens.current()

    def renewed(self, refused_token: str) -> str | None:
        return self._tokens.instead_of(refused_token)

    def credential(self) -> Credential:
        # Ended at once for obstore, which so asks before each request: what is renewed here, counts there.
        return {"token": self.token(), "expires_at": datetime.now(UTC)}

    def close(self) -> None:
        self._transport.close()

    def _fetch(self) -> Lease[str]:
        from google.auth.exceptions import GoogleAuthError

        self._transport.forget()
        try:
            if self._credentials is None:
                self._credentials = self._load()
            self._credentials.refresh(self._transport)
            value, expiry = self._credentials.token, self._credentials.expiry
            if not isinstance(value, str) or not value:
                raise refused(self._place, self._login, self._transport.last)
        except (GoogleAuthError, OSError, ValueError, LookupError, TypeError) as error:
            # Besides its own errors, google-auth lets those of JSON, keys and answers of odd forms through.
            raise refused(self._place, self._login, self._transport.last) from error
        scrub_passing(value)
        now = self._clock.monotonic()
        left = expiry.replace(tzinfo=UTC) - datetime.now(UTC) if expiry else None
        life = max(LEAST_SECONDS, left.total_seconds()) if left else UNSAID_SECONDS
        return Lease(value, now + life - min(EARLY_SECONDS, life / 2), now + life)

    def _load(self) -> Any:
        if self._login.key_file is None:
            return self._of_metadata()
        return _credentials(json.loads(self._login.key_file.reveal()), self._login)

    def _of_metadata(self) -> Any:
        host = os.environ.get("GCE_METADATA_HOST") or os.environ.get("GCE_METADATA_ROOT")
        if os.environ.get("NO_GCE_CHECK") == "true" or not (host or self._is_at_google()):
            raise NoCredentialsError(
                f"connection {self._place.connection!r} has no credentials",
                hint=self._place.with_mounts(
                    "give it a secret, GOOGLE_APPLICATION_CREDENTIALS or workload identity;"
                    " or options.anonymous: true"
                ),
                connection=self._place.connection,
            )
        # Imported here, and not before: it reads GCE_METADATA_HOST as it is imported.
        from google.auth.compute_engine import Credentials

        made: Any = Credentials
        return made(scopes=list(self._login.scopes))

    def _is_at_google(self) -> bool:
        """Whether the metadata server has a name here, or the machine is Google's."""
        try:
            socket.getaddrinfo(METADATA_HOST, 80)
        except OSError:
            pass
        else:
            return True
        try:
            with open(_PRODUCT, encoding="ascii", errors="replace") as file:
                return file.read(6) == "Google"
        except OSError:
            return False


def _credentials(info: dict[str, Any], login: GcsLogin) -> Any:
    """Those of a key file: each is loaded as the type that it says it is."""
    from importlib import import_module

    module, loader = _LOADERS.get(login.key_type) or _federation(info["credential_source"])
    load = getattr(import_module(module).Credentials, loader)
    if login.key_type in _OWN_SCOPES:
        return load(info)
    return load(info, scopes=list(login.scopes))


def _federation(source: dict[str, Any]) -> tuple[str, str]:
    if "certificate" in source:
        raise ConfigurationError(
            "a workload identity federation by client certificate isn't supported",
            hint="give credential_source a file, a URL, an executable or AWS",
        )
    if str(source.get("environment_id", "")).startswith("aws"):
        return "google.auth.aws", "from_info"
    if "executable" in source:
        return "google.auth.pluggable", "from_info"
    return "google.auth.identity_pool", "from_info"
