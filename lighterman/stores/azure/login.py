"""
From a connection's login to what lets requests in, and what obstore takes of it. Keys and signatures need no SDK;
tokens do, when the first of them is needed.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from lighterman.connections.azure_login import AzureLogin
from lighterman.connections.model import Connection
from lighterman.stores.azure.access import Access
from lighterman.stores.azure.tokens import Tokens
from lighterman.stores.failures import Place
from lighterman.stores.network import Network, proxy_for

READ_SECONDS: Final = 20.0
"""The most that an answer with a token may take."""


def access_of(
    connection: Connection,
    login: AzureLogin,
    environ: Mapping[str, str],
    network: Network,
    place: Place,
) -> Access:
    """
    What lets requests in by this login. ``network`` is the way to the account: its TLS and timeouts hold for
    the one to Microsoft Entra too, whose proxy is its own. Nothing is asked yet.
    """
    if not login.takes_tokens:
        return Access(login.account, key=login.account_key, sas=login.sas_token)
    to_authority = msgspec.structs.replace(
        network,
        endpoint=login.authority,
        proxy=proxy_for(connection, environ, login.authority),
        stall_seconds=min(network.stall_seconds, READ_SECONDS),
    )
    return Access(login.account, token=Tokens(login, to_authority, place))


def obstore_config(access: Access, endpoint: str) -> dict[str, Any]:
    """
    Where and who, as arguments of obstore's ``AzureStore`` beside its ``credential_provider``: everything is said,
    since obstore would take what is left out from AZURE_… variables.
    """
    return {
        "account_name": access.account,
        "endpoint": endpoint,
        "use_emulator": False,
        "use_fabric_endpoint": False,
        "skip_signature": obstore_provider(access) is None,
        "credential_type": "auto",
        "disable_tagging": False,
    }


def obstore_provider(access: Access) -> Callable[[], Any] | None:
    """The ``credential_provider`` of obstore's ``AzureStore``, which comes before all else; ``None`` for anonymous."""
    key, sas, tokens = access.key, access.sas, access.token
    if key:
        return lambda: {"access_key": key.reveal(), "expires_at": None}
    if sas:
        return lambda: {"sas_token": sas.reveal(), "expires_at": None}
    if tokens is None:
        return None

    def provide() -> Any:
        token = tokens()
        # obstore keeps one until five minutes before that, and then asks each time.
        return {
            "token": token.token,
            "expires_at": datetime.fromtimestamp(token.expires_seconds, UTC),
        }

    return provide
