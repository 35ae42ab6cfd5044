"""
Bearer tokens of Microsoft Entra's: for a service principal, a workload identity, a managed identity. azure-identity
knows how each of them is asked for; it is loaded when the first token is needed, and used for one at a time.
"""

import os
import re
from typing import TYPE_CHECKING, Any, Final

from lighterman.clock import Clock, SystemClock
from lighterman.connections.azure_login import AzureLogin
from lighterman.errors import (
    ConfigurationError,
    CredentialsError,
    LightermanError,
    NoCredentialsError,
    SlowDownError,
    TransientError,
)
from lighterman.secret import Secret, scrub_passing
from lighterman.stores.azure.access import SCOPE, Token
from lighterman.stores.failures import Place, broken
from lighterman.stores.network import Network, silence_unverified
from lighterman.stores.renewal import Lease, Renewed

if TYPE_CHECKING:
    from azure.core.credentials import AccessTokenInfo

RENEW_SECONDS: Final = 300.0
"""So long before its end a token is renewed (or half its life, where that is less); as azure-identity does."""
AGAIN_SECONDS: Final = 30.0
"""After a renewal that failed, or was of no use, so long the token stays that is there."""
METADATA_SECONDS: Final = 2.0
"""The metadata service is on the same machine; where there is none, its address leads nowhere."""

_METADATA_VARIABLES: Final = (
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "IDENTITY_ENDPOINT",
    "MSI_ENDPOINT",
)
_METADATA_ADDRESS: Final = "http://169.254.169.254"
_STILL_STARTING: Final = (404, 410)
"""https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#error-handling"""
_CODE: Final = re.compile(r"AADSTS(\d+)")
_HINTS: Final = {
    "7000215": "the client secret is wrong: AZURE_CLIENT_SECRET is its value, not its id",
    "7000222": "the client secret has expired: make a new one for the application",
    "7000112": "the application is disabled: enable it in the tenant",
    "700016": "the tenant has no such application: check AZURE_CLIENT_ID and AZURE_TENANT_ID",
    "90002": "there is no such tenant: check AZURE_TENANT_ID, and AZURE_AUTHORITY_HOST for other clouds",
    "700024": "the federated token doesn't hold now: check this machine's clock, and whether its file is renewed",
    "53003": "the tenant's conditional access blocks it: ask who manages the tenant",
}
_FEDERATION: Final = (
    "no federated credential of the application fits the pod's token: check its issuer, its subject"
    " (system:serviceaccount:NAMESPACE:NAME) and its audience"
)
_HINTS.update(dict.fromkeys(("70021", "700211", "700212", "700213", "7002138"), _FEDERATION))
_USUAL_HINT: Final = (
    "check AZURE_TENANT_ID, AZURE_CLIENT_ID and what proves it, the secret or the federated token"
)


class Tokens:
    """
    The bearer tokens of one login: each call gives one that is good, asked for when the last one nears its end.
    Safe to share among threads: only one of them asks, while the others go on with what is still good.
    """

    def __init__(
        self, login: AzureLogin, network: Network, place: Place, clock: Clock | None = None
    ) -> None:
        self._login = login
        self._network = network
        self._place = place._replace(endpoint=network.endpoint, proxy=network.proxy_host)
        self._clock = clock or SystemClock()
        self._tokens = Renewed(
            self._fetch,
            self._clock.wall,
            again_seconds=AGAIN_SECONDS,
            connection=place.connection,
            source=login.source,
        )

    def __call__(self) -> Token:
        """
        ``CredentialsError`` for a login that is refused, or of which a part isn't there; ``TransientError`` for who
        gives tokens not answering; neither while the last token is still good.
        """
        return self._tokens.current()

    def _fetch(self) -> Lease[Token]:
        now = self._clock.wall()
        given = self._ask()
        scrub_passing(given.token)  # an error text that quotes a header is masked
        ends = float(given.expires_on)
        half = (ends - now) / 2
        renew = given.refresh_on or ends - min(RENEW_SECONDS, half)
        # One that should be renewed as it comes is asked for again, but not by every request.
        return Lease(Token(given.token, ends), max(renew, now + min(AGAIN_SECONDS, half)), ends)

    def _ask(self) -> "AccessTokenInfo":
        exchange = _Exchange()
        credential: Any = self._credential(exchange)
        try:
            with credential:
                given: AccessTokenInfo = credential.get_token_info(SCOPE)
        except Exception as error:  # azure-identity's errors and msal's have no common base
            raise self._meaning(error, exchange) from error
        return given

    def _credential(self, exchange: "_Exchange") -> object:
        _hush()
        login = self._login
        arguments = self._arguments(exchange)
        if login.client_secret:
            return _principal(login, arguments)
        if login.federated_token_file:
            from azure.identity import ClientAssertionCredential

            assertion = _assertion(login, self._place.connection)
            return ClientAssertionCredential(
                login.tenant_id or "",
                login.client_id or "",
                assertion.reveal,
                authority=login.authority,
                **arguments,
            )
        from azure.identity import ManagedIdentityCredential

        # The environment may hold another login's workload identity, which it would take instead.
        return ManagedIdentityCredential(
            client_id=login.client_id, _exclude_workload_identity_credential=True, **arguments
        )

    def _arguments(self, exchange: "_Exchange") -> dict[str, Any]:
        from azure.core.pipeline.transport import RequestsTransport

        network = self._network
        if network.verify is False:
            silence_unverified()
        is_remote = _has_authority(self._login)
        transport = RequestsTransport(
            connection_timeout=network.connect_seconds if is_remote else METADATA_SECONDS,
            read_timeout=network.stall_seconds,
            connection_verify=network.verify,
            use_env_settings=False,
        )
        proxied = network.proxy if is_remote else None
        return {
            "transport": transport,
            "proxies": {"https": proxied, "http": proxied} if proxied else None,
            "retry_total": 0,  # whoever calls owns the attempts
            "raw_request_hook": exchange.asked,
            "raw_response_hook": exchange.answered,
        }

    def _meaning(self, error: Exception, exchange: "_Exchange") -> LightermanError:
        is_remote = _has_authority(self._login)
        place = self._place if is_remote else self._place._replace(endpoint=_metadata(), proxy="")
        if exchange.status is None and not is_remote and not _is_announced():
            return self._no_login()
        if exchange.status is None:
            return broken(place, _chain_text(error))
        said = f"{exchange.status} {exchange.code}".rstrip()
        if exchange.status == 429:
            return SlowDownError(
                f"{place.endpoint} asks for fewer requests for tokens ({said})",
                connection=place.connection,
            )
        is_starting = not is_remote and exchange.status in _STILL_STARTING
        if exchange.status >= 500 or exchange.status == 408 or is_starting:
            return TransientError(
                f"{place.endpoint} failed to give a token ({said})", connection=place.connection
            )
        if is_remote and not exchange.code:
            return ConfigurationError(
                f"{place.endpoint} doesn't answer as Microsoft Entra does ({said})",
                hint="check AZURE_AUTHORITY_HOST, and a proxy on the way",
                connection=place.connection,
            )
        # The machine's own word that there is no identity, which nobody asked for by its name.
        is_nobodys = not (is_remote or self._login.client_id)
        kind = NoCredentialsError if is_nobodys else CredentialsError
        return kind(
            f"the login from {place.login} was refused by {place.endpoint} ({said})",
            hint=place.with_mounts(self._hint(exchange.code)),
            connection=place.connection,
        )

    def _hint(self, code: str) -> str:
        if _has_authority(self._login):
            return _HINTS.get(code.removeprefix("AADSTS"), _USUAL_HINT)
        if self._login.client_id:
            return "this machine has no managed identity of that AZURE_CLIENT_ID: assign it, or correct the id"
        return "this machine has no managed identity: assign one, or give the connection a login"

    def _no_login(self) -> CredentialsError:
        said = "neither files nor environment hold any"
        kind: type[CredentialsError] = NoCredentialsError
        if self._login.client_id:
            said = f"AZURE_CLIENT_ID ({self._place.login}) is all that is said"
            kind = CredentialsError
        return kind(
            f"connection {self._place.connection!r} has no credentials: {said},"
            " and no managed identity answers here",
            hint=self._place.with_mounts(
                "give it a secret or environment variables; or options.anonymous: true"
            ),
            connection=self._place.connection,
        )


class _Exchange:
    """What the last answer was, of however many an SDK needed; each loses it in a way of its own."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.code = ""
        """Microsoft Entra's, like ``AADSTS7000215``."""

    def asked(self, _request: Any) -> None:
        self.status, self.code = None, ""

    def answered(self, response: Any) -> None:
        self.status = response.http_response.status_code
        match = _CODE.search(response.http_response.text())
        self.code = match[0] if match else ""


def _has_authority(login: AzureLogin) -> bool:
    return bool(login.client_secret or login.federated_token_file)


def _principal(login: AzureLogin, arguments: dict[str, Any]) -> object:
    from azure.identity import ClientSecretCredential

    credential = ClientSecretCredential(
        login.tenant_id or "",
        login.client_id or "",
        login.client_secret.reveal() if login.client_secret else "",
        authority=login.authority,
        # It would ask Microsoft's public cloud whether the authority is one, which private ones can't reach.
        disable_instance_discovery=True,
        **arguments,
    )
    # Of the process's AZURE_REGIONAL_AUTHORITY_NAME, which is no part of the login.
    credential._regional_authority = None  # noqa: SLF001  # it takes no argument for that
    return credential


def _assertion(login: AzureLogin, connection: str) -> Secret:
    """The pod's token, as it is in its file now: the kubelet replaces it before its end."""
    path = login.federated_token_file or ""
    problem, hint = "is empty", "wait for the kubelet, or look at the pod's volume of it"
    try:
        with open(path, encoding="utf-8") as file:
            token = file.read().strip()
    except FileNotFoundError:
        token, problem = "", "isn't there"
        hint = "label the pod azure.workload.identity/use: 'true', so that its token is mounted"
    except (OSError, UnicodeDecodeError) as error:
        token = ""
        problem = f"can't be read: {getattr(error, 'strerror', None) or 'it is no text'}"
        hint = "let this container's user read it"
    if not token:
        raise CredentialsError(
            f"AZURE_FEDERATED_TOKEN_FILE ({login.source}): {path} {problem}",
            hint=hint,
            connection=connection,
        )
    return Secret(token)


def _is_announced() -> bool:
    """Whether the machine says where its identities are; else the metadata service is only tried for."""
    return any(os.environ.get(name) for name in _METADATA_VARIABLES)


def _metadata() -> str:
    found = (os.environ.get(name) for name in _METADATA_VARIABLES)
    return next(filter(None, found), _METADATA_ADDRESS).rstrip("/")


def _chain_text(error: BaseException | None) -> str:
    texts = []
    while error is not None:
        texts.append(str(error))
        error = error.__cause__ or error.__context__
    return " ".join(texts)


def _hush() -> None:
    """What azure-identity logs of a failure would come on stderr as it is; it is told as an error of ours."""
    import logging

    for name in ("azure", "msal"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
