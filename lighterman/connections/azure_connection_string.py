"""Azure's connection strings, read strictly: https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string"""

import base64
import binascii
from typing import Final, NamedTuple

from lighterman.connections.azure_endpoint import (
    DEFAULT_SUFFIX,
    EMULATOR_ACCOUNT,
    EMULATOR_KEY,
    EMULATOR_PORT,
    account_in,
    checked_account,
    checked_endpoint,
)
from lighterman.connections.azure_sas import read_sas
from lighterman.connections.sources import Setting, url_of
from lighterman.errors import CredentialsError
from lighterman.secret import Secret

_OWN: Final = (
    "DefaultEndpointsProtocol",
    "AccountName",
    "AccountKey",
    "SharedAccessSignature",
    "BlobEndpoint",
    "EndpointSuffix",
    "UseDevelopmentStorage",
    "DevelopmentStorageProxyUri",
)
_OTHERS: Final = (
    "BlobSecondaryEndpoint",
    *(
        f"{service}{which}"
        for service in ("Queue", "Table", "File", "Dfs", "Web")
        for which in ("Endpoint", "SecondaryEndpoint")
    ),
)
"""Of other services; they mean nothing here."""
_BY_LOWER: Final = {name.lower(): name for name in (*_OWN, *_OTHERS)}


class ConnectionString(NamedTuple):
    """What one says. Either key or SAS is there."""

    account: str
    """``""`` where only an endpoint that doesn't tell it is given."""
    key: Secret | None
    sas: Secret | None
    endpoint: str
    """As it was written out; ``""`` where it follows from account and suffix."""
    protocol: str
    suffix: str
    """``""`` if it isn't said."""

    @property
    def own_endpoint(self) -> str:
        """The endpoint that it means."""
        return (
            self.endpoint
            or f"{self.protocol}://{self.account}.blob.{self.suffix or DEFAULT_SUFFIX}"
        )


def read_connection_string(setting: Setting) -> ConnectionString:
    """
    ``ConfigurationError`` for a piece that is malformed, unknown or contradicts another, ``CredentialsError``
    where it holds no login. Neither quotes a value.
    """
    pieces = _pieces(setting)
    if _is_emulator(setting, pieces):
        return _emulator(setting, pieces)
    key, sas = pieces.get("AccountKey"), pieces.get("SharedAccessSignature")
    if key and sas:
        setting.fail("AccountKey and SharedAccessSignature are two logins", "keep one of them")
    if not key and not sas:
        raise CredentialsError(
            f"{setting.name} ({setting.source}): neither AccountKey nor SharedAccessSignature in it",
            hint="copy the whole connection string; for a public container set options.anonymous: true",
        )
    protocol = pieces.get("DefaultEndpointsProtocol", "https")
    if protocol not in ("http", "https"):
        setting.fail("its DefaultEndpointsProtocol is neither https nor http", "write https")
    account = _account(setting, pieces)
    endpoint = pieces.get("BlobEndpoint", "")
    if endpoint:
        endpoint = checked_endpoint(_piece(setting, "BlobEndpoint", endpoint))
    _check_account(setting, account, endpoint, has_key=bool(key))
    return ConnectionString(
        account=account or account_in(endpoint),
        key=checked_key(_piece(setting, "AccountKey", key)) if key else None,
        sas=read_sas(_piece(setting, "SharedAccessSignature", sas)).token if sas else None,
        endpoint=endpoint,
        protocol=protocol,
        suffix=pieces.get("EndpointSuffix", "").strip("."),
    )


def checked_key(setting: Setting) -> Secret:
    """An account key; ``CredentialsError`` for what isn't base64, as for one that the store refuses."""
    try:
        is_key = bool(base64.b64decode(setting.value, validate=True))
    except (binascii.Error, ValueError):
        is_key = False
    if not is_key:
        raise CredentialsError(
            f"{setting.name} ({setting.source}): no account key: its {len(setting.value)} characters aren't base64",
            hint="copy the key again, whole: it usually has 88 characters, and == at the end",
        )
    return Secret(setting.value)


def _pieces(setting: Setting) -> dict[str, str]:
    found: dict[str, str] = {}
    texts = setting.value.strip().rstrip(";").split(";")
    for number, text in enumerate(texts, 1):
        written, equals, value = text.partition("=")
        name = _BY_LOWER.get(written.strip().lower(), "")
        if not equals:
            setting.fail(
                f"no connection string: piece {number} of {len(texts)} isn't like Name=value",
                "copy it whole: DefaultEndpointsProtocol=https;AccountName=…;AccountKey=…",
            )
        if not name:
            _fail_unknown(setting, written.strip(), number, len(texts))
        if not value:
            setting.fail(f"its {name} is empty", "copy it whole, or leave that piece out")
        if name in found:
            setting.fail(f"{name} stands in it twice", "keep one of them")
        found[name] = value
    return found


def _fail_unknown(setting: Setting, name: str, number: int, count: int) -> None:
    from lighterman.strict import suggestion

    # What stands before a "=" may be the end of a key that was cut at a semicolon: only words are quoted.
    quoted = f" {name!r}" if name.isalpha() and len(name) < 40 else ""
    setting.fail(
        f"piece {number} of {count} in it has an unknown name{quoted}",
        suggestion(name if quoted else "", _OWN, "it has"),
    )


def _is_emulator(setting: Setting, pieces: dict[str, str]) -> bool:
    said = pieces.get("UseDevelopmentStorage", "false").lower()
    if said not in ("true", "false"):
        setting.fail("its UseDevelopmentStorage is neither true nor false", "write true")
    return said == "true"


def _emulator(setting: Setting, pieces: dict[str, str]) -> ConnectionString:
    more = pieces.keys() - {"UseDevelopmentStorage", "DevelopmentStorageProxyUri"}
    if more:
        setting.fail(
            f"UseDevelopmentStorage=true beside {min(more)}",
            "the emulator's account and key are fixed: leave one of the two out",
        )
    proxy = pieces.get("DevelopmentStorageProxyUri", "http://127.0.0.1")
    host = url_of(_piece(setting, "DevelopmentStorageProxyUri", proxy), use_ssl=False)
    return ConnectionString(
        account=EMULATOR_ACCOUNT,
        key=Secret(EMULATOR_KEY),
        sas=None,
        endpoint=f"{host}:{EMULATOR_PORT}/{EMULATOR_ACCOUNT}",
        protocol="http",
        suffix="",
    )


def _account(setting: Setting, pieces: dict[str, str]) -> str:
    name = pieces.get("AccountName", "")
    return checked_account(_piece(setting, "AccountName", name)) if name else ""


def _check_account(setting: Setting, account: str, endpoint: str, *, has_key: bool) -> None:
    there = account_in(endpoint) if endpoint else ""
    if account and there and account != there:
        setting.fail(
            f"its AccountName is {account}, and its BlobEndpoint is that of {there}",
            "correct one of them",
        )
    if not account and (has_key or not endpoint):
        missing = "AccountName" if has_key else "BlobEndpoint"
        raise CredentialsError(
            f"{setting.name} ({setting.source}): {missing} is missing in it",
            hint="copy the whole connection string",
        )


def _piece(setting: Setting, name: str, value: str) -> Setting:
    return Setting(f"{name} of {setting.name}", value, setting.source)
