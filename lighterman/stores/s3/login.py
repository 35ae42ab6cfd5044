"""
Credentials as the signers take them. Static keys need no SDK; roles, profiles, web identity and the SDK's
own chain are botocore's, loaded only then, which also renews them.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from lighterman.connections.credentials import S3Login
from lighterman.errors import CredentialsError, NoCredentialsError
from lighterman.secret import MASK
from lighterman.stores.s3.configuration import S3Settings

if TYPE_CHECKING:
    import botocore.session

ADVISED_SECONDS: Final = 900
"""Temporary keys are renewed this long before their end, as botocore does it; or at two thirds of a life
that is too short for that (STS gives 900 s at the least), so that not every request asks STS first."""


class Keys(NamedTuple):
    """One set, with the names that botocore's signer reads. Never printed."""

    access_key: str
    secret_key: str
    token: str | None

    def __repr__(self) -> str:
        return f"Keys({MASK})"


class Login(Protocol):
    """Where the engines get their keys, each time that they sign."""

    def keys(self) -> Keys | None:
        """The keys to sign with now; ``None``: sign nothing. ``CredentialsError``."""
        ...

    def session(self) -> "botocore.session.Session":
        """A botocore session whose clients log in with the same keys."""
        ...

    def others(self) -> "Login | None":
        """A login with other keys than these, looked for anew, after the store refused these. ``CredentialsError``."""
        ...


def login_of(login: S3Login, settings: S3Settings) -> Login:
    """The login that a connection's credentials are."""
    if settings.anonymous:
        return _Static(None)
    keys = _static_keys(login)
    needs_sdk = login.role_arn or login.web_identity_token_file or login.profile
    return _Static(keys) if keys and not needs_sdk else _Chain(login, settings)


def _static_keys(login: S3Login) -> Keys | None:
    if not login.access_key_id or not login.secret_access_key:
        return None
    token = login.session_token.reveal() if login.session_token else None
    return Keys(login.access_key_id.reveal(), login.secret_access_key.reveal(), token)


def region_of(login: S3Login) -> str | None:
    """The login's region; for a profile and the SDK's own chain also what the SDK's files say."""
    if login.region or login.anonymous or login.access_key_id:
        return login.region
    from botocore.exceptions import ProfileNotFound
    from botocore.session import Session

    try:
        region = Session(profile=login.profile).get_config_variable("region")
    except ProfileNotFound:  # told when it is logged in with
        return None
    return str(region) if region else None


class _Static:
    def __init__(self, keys: Keys | None) -> None:
        self._keys = keys

    def keys(self) -> Keys | None:
        return self._keys

    def session(self) -> "botocore.session.Session":
        from botocore.credentials import Credentials

        return _session_of(Credentials(*self._keys) if self._keys else None)

    def others(self) -> None:
        """There are none: what is mounted is looked at by whoever made this login."""


class _Chain:
    """A role, a web identity, a profile, or whatever botocore finds by itself."""

    def __init__(self, login: S3Login, settings: S3Settings) -> None:
        self._login = login
        self._settings = settings
        self._lock = threading.Lock()
        self._credentials: Any = None

    def keys(self) -> Keys | None:
        frozen = self._guarded(lambda: self._found().get_frozen_credentials())
        return Keys(frozen.access_key, frozen.secret_key, frozen.token)

    def session(self) -> "botocore.session.Session":
        return _session_of(self._guarded(self._found))

    def others(self) -> Login | None:
        # A role's session was ended, or a file of the SDK rewritten, of which no expiry had told.
        anew = _Chain(self._login, self._settings)
        return anew if anew.keys() != self.keys() else None

    def _found(self) -> Any:
        with self._lock:
            if self._credentials is None:
                self._credentials = self._find()
            return self._credentials

    def _guarded(self, action: Callable[[], Any]) -> Any:
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            ConnectionError,  # noqa: A004  # its name
            HTTPClientError,
        )

        from lighterman.stores.failures import broken
        from lighterman.stores.s3 import failures
        from lighterman.stores.s3.client import failure_of

        place = self._settings.place
        try:
            return action()
        except ClientError as error:  # from STS, whose codes are S3's
            failure = failure_of(error)
            if failure.status < 500 and failure.status != 429:
                raise CredentialsError(
                    f"the login from {self._login.source} was refused by STS"
                    f" ({failure.status} {failure.code})",
                    hint=place.with_mounts(
                        "check the role's name and its trust policy, the token or key that asks for it,"
                        " and AWS_STS_ENDPOINT_URL where the STS isn't AWS's"
                    ),
                    connection=place.connection,
                ) from error
            raise failures.explained(place, failure) from error
        except (
            BotoCoreError,
            OSError,
            ValueError,
            KeyError,
        ) as error:  # KeyError: an agent's odd answer
            if isinstance(error, (HTTPClientError, ConnectionError)):
                asked = str(error.kwargs.get("endpoint_url") or place.endpoint).rstrip("/")
                raise broken(place._replace(endpoint=asked), str(error)) from error
            raise CredentialsError(
                f"no credentials came from {self._login.source} ({_reason(error)})",
                hint=place.with_mounts(
                    "check the profile, the role's token file, or the pod's service account"
                ),
                connection=place.connection,
            ) from error

    def _find(self) -> Any:
        login = self._login
        session = self._chain_session()
        if login.web_identity_token_file and login.role_arn:
            return self._web_identity(session)
        source = self._source(session)
        if source is None:
            raise NoCredentialsError(
                f"connection {self._settings.connection!r} has no credentials",
                hint=self._settings.place.with_mounts(
                    "give it a secret, environment variables or a role; or options.anonymous: true"
                ),
                connection=self._settings.connection,
            )
        return self._assumed(session, source) if login.role_arn else source

    def _source(self, session: "botocore.session.Session") -> Any:
        from botocore.credentials import Credentials

        keys = _static_keys(self._login)
        return Credentials(*keys) if keys else session.get_credentials()

    def _assumed(self, session: "botocore.session.Session", source: Any) -> Any:
        from botocore.credentials import AssumeRoleCredentialFetcher

        fetcher = AssumeRoleCredentialFetcher(
            session.create_client,
            source,
            self._login.role_arn,
            extra_args=self._role_arguments(),
            expiry_window_seconds=self._advised_seconds,
        )
        return self._renewing(fetcher.fetch_credentials, "assume-role")

    def _web_identity(self, session: "botocore.session.Session") -> Any:
        from botocore.credentials import AssumeRoleWithWebIdentityCredentialFetcher

        token_file = self._login.web_identity_token_file or ""

        def token() -> str:
            with open(token_file, encoding="utf-8") as file:
                return file.read().strip()

        fetcher = AssumeRoleWithWebIdentityCredentialFetcher(
            session.create_client,
            token,
            self._login.role_arn,
            extra_args=self._role_arguments(),
            expiry_window_seconds=self._advised_seconds,
        )
        return self._renewing(fetcher.fetch_credentials, "assume-role-with-web-identity")

    def _role_arguments(self) -> dict[str, object]:
        return {
            "RoleSessionName": self._login.role_session_name,
            "DurationSeconds": self._login.role_session_seconds,
        }

    @property
    def _advised_seconds(self) -> int:
        return min(ADVISED_SECONDS, self._login.role_session_seconds // 3)

    def _renewing(self, fetch: Callable[[], Any], method: str) -> Any:
        from botocore.credentials import RefreshableCredentials

        return RefreshableCredentials.create_from_metadata(
            fetch(),
            refresh_using=fetch,
            method=method,
            advisory_timeout=self._advised_seconds,
            mandatory_timeout=self._advised_seconds // 2,
        )

    def _chain_session(self) -> "botocore.session.Session":
        """Of the profile. Clients that its own providers make (a profile's role) take the same way as ours."""
        from botocore.config import Config
        from botocore.session import Session

        settings, sts_endpoint = self._settings, self._login.sts_endpoint
        way = Config(
            connect_timeout=settings.network.connect_seconds,
            read_timeout=settings.network.stall_seconds,
            retries={"total_max_attempts": 2, "mode": "standard"},
            proxies={"http": settings.network.proxy, "https": settings.network.proxy}
            if settings.network.proxy
            else None,
        )

        class ChainSession(Session):  # type: ignore[misc]  # botocore has no types
            def create_client(self, service_name: str, **given: Any) -> Any:
                if "config" in given:
                    given["config"] = way.merge(given["config"])
                ours = {
                    "region_name": settings.region,
                    "endpoint_url": sts_endpoint if service_name == "sts" else None,
                    "verify": settings.network.verify,
                    "config": way,
                }
                said = {name: value for name, value in given.items() if value is not None}
                return super().create_client(service_name, **ours | said)

        return ChainSession(profile=self._login.profile)


def _session_of(credentials: Any) -> "botocore.session.Session":
    from botocore.credentials import CredentialProvider, CredentialResolver
    from botocore.session import Session

    class Given(CredentialProvider):  # type: ignore[misc]  # botocore has no types
        METHOD = CANONICAL_NAME = "given"

        def load(self) -> Any:
            return credentials

    session = Session()
    session.register_component("credential_provider", CredentialResolver([Given()]))
    return session


def _reason(error: Exception) -> str:
    """What lacks, by its name where that is no secret. A program's own words might hold one."""
    from botocore.exceptions import ProfileNotFound

    if isinstance(error, ProfileNotFound):
        return f"there is no profile {error.kwargs['profile']!r}"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return type(error).__name__
