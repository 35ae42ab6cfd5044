"""
Credentials as the signers take them. Static keys need no SDK; roles, profiles, web identity and the SDK's
own chain are botocore's, loaded only then, which also renews them.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lighterman.connections.credentials import S3Login
from lighterman.errors import CredentialsError
from lighterman.secret import MASK
from lighterman.stores.s3.configuration import S3Settings

if TYPE_CHECKING:
    import botocore.session


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
                    hint="check the role's name and its trust policy, and the token or key that asks for it",
                    connection=place.connection,
                ) from error
            raise failures.explained(place, failure) from error
        except (BotoCoreError, OSError) as error:
            if isinstance(error, (HTTPClientError, ConnectionError)):
                asked = str(error.kwargs.get("endpoint_url") or place.endpoint).rstrip("/")
                raise failures.broken(place._replace(endpoint=asked), str(error)) from error
            raise CredentialsError(
                f"no credentials came from {self._login.source} ({type(error).__name__})",
                hint="check the profile, the role's token file, or the pod's service account",
                connection=place.connection,
            ) from error

    def _find(self) -> Any:
        from botocore.session import Session

        login = self._login
        session = Session(profile=login.profile)
        if login.web_identity_token_file and login.role_arn:
            return self._web_identity(session)
        source = self._source(session)
        if source is None:
            raise CredentialsError(
                f"connection {self._settings.connection!r} has no credentials",
                hint="give it a secret, environment variables or a role; or options.anonymous: true",
                connection=self._settings.connection,
            )
        return self._assumed(session, source) if login.role_arn else source

    def _source(self, session: "botocore.session.Session") -> Any:
        from botocore.credentials import Credentials

        keys = _static_keys(self._login)
        return Credentials(*keys) if keys else session.get_credentials()

    def _assumed(self, session: "botocore.session.Session", source: Any) -> Any:
        from botocore.credentials import (
            AssumeRoleCredentialFetcher,
            DeferredRefreshableCredentials,
        )

        fetcher = AssumeRoleCredentialFetcher(
            self._sts(session), source, self._login.role_arn, extra_args=self._role_arguments()
        )
        return DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")

    def _web_identity(self, session: "botocore.session.Session") -> Any:
        from botocore.credentials import (
            AssumeRoleWithWebIdentityCredentialFetcher,
            DeferredRefreshableCredentials,
        )

        token_file = self._login.web_identity_token_file or ""

        def token() -> str:
            with open(token_file, encoding="utf-8") as file:
                return file.read().strip()

        fetcher = AssumeRoleWithWebIdentityCredentialFetcher(
            self._sts(session), token, self._login.role_arn, extra_args=self._role_arguments()
        )
        return DeferredRefreshableCredentials(
            fetcher.fetch_credentials, "assume-role-with-web-identity"
        )

    def _role_arguments(self) -> dict[str, object]:
        return {
            "RoleSessionName": self._login.role_session_name,
            "DurationSeconds": self._login.role_session_seconds,
        }

    def _sts(self, session: "botocore.session.Session") -> Callable[..., Any]:
        from botocore.config import Config

        settings = self._settings
        config = Config(
            connect_timeout=settings.connect_seconds,
            read_timeout=settings.stall_seconds,
            retries={"total_max_attempts": 2, "mode": "standard"},
            proxies={"http": settings.proxy, "https": settings.proxy} if settings.proxy else None,
        )

        def create(service: str, **kwargs: Any) -> Any:
            if "config" in kwargs:
                kwargs["config"] = config.merge(kwargs["config"])
            return session.create_client(
                service,
                **{
                    "region_name": settings.region,
                    "endpoint_url": self._login.sts_endpoint,
                    "verify": settings.verify,
                    "config": config,
                }
                | kwargs,
            )

        return create


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
