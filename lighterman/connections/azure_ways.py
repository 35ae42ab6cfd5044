"""The ways to log in to Azure that one source gives, each whole, and what it says about the account that it is for."""

import re
from typing import Final, NamedTuple, NoReturn

from lighterman.connections.azure_connection_string import (
    ConnectionString,
    checked_key,
    read_connection_string,
)
from lighterman.connections.azure_endpoint import checked_account
from lighterman.connections.azure_sas import read_sas
from lighterman.connections.names import AzureNames
from lighterman.connections.sources import Setting, Source
from lighterman.errors import ConfigurationError, CredentialsError
from lighterman.secret import Secret

_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DOMAIN: Final = re.compile(r"(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}")

LOGIN_NAMES: Final = (
    AzureNames.CONNECTION_STRING,
    AzureNames.KEY,
    AzureNames.SAS,
    AzureNames.CLIENT_SECRET,
    AzureNames.TOKEN_FILE,
    AzureNames.CLIENT,
    AzureNames.TENANT,
)


class Said(NamedTuple):
    """An account, or an endpoint, and who says it."""

    value: str
    by: str


class Way(NamedTuple):
    """A login without its place, and what it says about that."""

    fields: dict[str, object]
    setting: Setting | None = None
    """The key or signature that it is, which only one account takes."""
    accounts: tuple[Said, ...] = ()
    endpoint: Said | None = None
    suffix: Said | None = None
    container: Said | None = None


def anonymous() -> Way:
    """No login at all."""
    return Way({"source": "anonymous", "anonymous": True})


def first_way(explicit: list[Source], ambient: Source) -> Way:
    """The login of the first source that has any part of one, else the pod's own identity."""
    for source in explicit:
        if way := _way_of(source):
            return way
        client, tenant = source.first(AzureNames.CLIENT), source.first(AzureNames.TENANT)
        if client or tenant:
            return _identity(ambient, client, tenant)
    return _way_of(ambient) or _identity(ambient, None, None)


class _Parts(NamedTuple):
    """The ways to log in that one source gives, the first of which counts."""

    text: Setting | None
    key: Setting | None
    sas: Setting | None
    secret: Setting | None
    token_file: Setting | None


def _way_of(source: Source) -> Way | None:
    """The login that this source alone gives, if it gives one that is more than an identity's name."""
    parts = _Parts(*(source.first(names) for names in LOGIN_NAMES[:5]))
    if source.is_ambient:
        # The webhook of workload identity puts its file into every pod: it counts as what the pod has.
        parts = parts._replace(token_file=None)
    if not any(parts):
        return None
    text = read_connection_string(parts.text) if parts.text else None
    if not source.is_ambient:
        _check_one(parts, text, source)
    if text and parts.text:
        return _by_text(parts.text, text, source)
    if parts.key:
        fields = {"source": source.name, "account_key": checked_key(parts.key)}
        return Way(fields, parts.key, accounts_of(source))
    if parts.sas:
        return _by_sas(parts.sas, source)
    return _by_principal(source, parts.secret, parts.token_file)


def _check_one(parts: _Parts, text: ConnectionString | None, source: Source) -> None:
    """Polyaxon's secrets hold a connection string beside the key that is in it: that is one login."""
    if text and parts.key and text.key and text.key.reveal() == parts.key.value:
        parts = parts._replace(key=None)
    if text and parts.sas and text.sas and text.sas == read_sas(parts.sas).token:
        parts = parts._replace(sas=None)
    given = [part.name for part in parts if part]
    if len(given) > 1:
        raise ConfigurationError(
            f"{' and '.join(given)} ({source.name}) are several logins at once",
            hint="keep one of them",
        )


def _by_text(setting: Setting, text: ConnectionString, source: Source) -> Way:
    by = f"{setting.name} ({source.name})"
    accounts = () if source.is_ambient else accounts_of(source)
    if text.account:
        accounts = (Said(text.account, by), *accounts)
    return Way(
        {"source": source.name, "account_key": text.key, "sas_token": text.sas},
        setting,
        accounts,
        endpoint=Said(text.own_endpoint, by) if text.account or text.endpoint else None,
        suffix=Said(text.suffix, by) if text.suffix and not text.endpoint else None,
    )


def _by_sas(setting: Setting, source: Source) -> Way:
    sas = read_sas(setting)
    by = f"the URL in {setting.name} ({source.name})"
    return Way(
        {"source": source.name, "sas_token": sas.token},
        setting,
        accounts_of(source),
        endpoint=Said(sas.endpoint, by) if sas.endpoint else None,
        container=Said(sas.container, by) if sas.container else None,
    )


def _by_principal(source: Source, secret: Setting | None, token_file: Setting | None) -> Way:
    tenant, client = source.first(AzureNames.TENANT), source.first(AzureNames.CLIENT)
    part = secret or token_file
    if part and not (tenant and client):
        fail_without(part, AzureNames.CLIENT if tenant else AzureNames.TENANT)
    fields = {
        "source": source.name,
        **_ids(client, tenant),
        "client_secret": Secret(secret.value) if secret else None,
        "federated_token_file": token_file.value if token_file else None,
    }
    return Way(fields, None, accounts_of(source))


def _identity(ambient: Source, client: Setting | None, tenant: Setting | None) -> Way:
    """
    The pod's own: a workload identity where the environment has its file, else the managed one; with what the
    connection says of client and tenant.
    """
    token_file = ambient.first(AzureNames.TOKEN_FILE)
    own = client or tenant
    if own and tenant and not token_file:
        missing = AzureNames.CLIENT_SECRET if client else AzureNames.CLIENT
        fail_without(own, missing, "; for a managed identity give AZURE_CLIENT_ID alone")
    source = own.source if own else ambient.name if token_file else "the SDK's own chain"
    client = client or ambient.first(AzureNames.CLIENT)
    tenant = tenant or ambient.first(AzureNames.TENANT)
    if token_file is None:
        return Way({"source": source, **_ids(client, None)})
    for setting, names in ((client, AzureNames.CLIENT), (tenant, AzureNames.TENANT)):
        if setting is None:
            annotation = "azure.workload.identity/" + names[0][6:].lower().replace("_", "-")
            raise CredentialsError(
                f"{token_file.name} ({token_file.source}) without {names[0]}",
                hint=f"annotate the pod's service account with {annotation}, or give {names[0]} in the connection's env",
            )
    return Way(
        {
            "source": source,
            **_ids(client, tenant),
            "federated_token_file": token_file.value,
        }
    )


def fail_without(part: Setting, missing: tuple[str, ...], more: str = "") -> NoReturn:
    """Raise the ``CredentialsError`` that a part of a login stands alone."""
    raise CredentialsError(
        f"{part.name} ({part.source}) without {missing[0]}",
        hint=f"give {missing[0]} in the same place: a login is never put together from several{more}",
    )


def _ids(client: Setting | None, tenant: Setting | None) -> dict[str, object]:
    if client and not _GUID.fullmatch(client.value):
        client.fail("no client id", "the application (client) id, 8-4-4-4-12 digits; not its name")
    if tenant and not (_GUID.fullmatch(tenant.value) or _DOMAIN.fullmatch(tenant.value)):
        tenant.fail("no tenant id", "the directory (tenant) id, 8-4-4-4-12 digits, or its domain")
    return {
        "client_id": client.value if client else None,
        "tenant_id": tenant.value if tenant else None,
    }


def accounts_of(source: Source) -> tuple[Said, ...]:
    """The account that a source names by itself, if it does."""
    setting = source.first(AzureNames.ACCOUNT)
    if setting is None:
        return ()
    return (Said(checked_account(setting), f"{setting.name} ({setting.source})"),)
