"""
The login of an Azure connection, found in its sources at one moment, and the account that it is for. Account,
key, signature, principal come from one source, the first that has any of them: mounted files, the connection's
own env, the variables of a secret that isn't mounted, KServe's storage config, the process environment; without any of
them workload identity and managed identity, as the pod has them.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NoReturn

import msgspec

from lighterman.clock import Clock, SystemClock
from lighterman.connections.azure_endpoint import (
    account_in,
    checked_endpoint,
    endpoint_of,
    with_account,
)
from lighterman.connections.azure_sas import check_scheme, check_times, shown
from lighterman.connections.azure_ways import (
    LOGIN_NAMES,
    Said,
    Way,
    accounts_of,
    anonymous,
    fail_without,
    first_way,
)
from lighterman.connections.credentials import Logins
from lighterman.connections.kserve import storage_config
from lighterman.connections.model import Bucket, Connection, Mount
from lighterman.connections.mounted import Found, read_mounts
from lighterman.connections.names import (
    AZURE_FILE_NAMES,
    AZURE_NAMES,
    ZENML_AZURE_NAMES,
    AzureNames,
)
from lighterman.connections.sources import (
    Setting,
    Source,
    from_env,
    from_environ,
    from_files,
    url_of,
)
from lighterman.connections.unmounted import from_variables, not_mounted
from lighterman.connections.uri import BucketPath, parse_bucket
from lighterman.errors import ConfigurationError
from lighterman.secret import Secret

DEFAULT_AUTHORITY: Final = "https://login.microsoftonline.com"


class AzureLogin(msgspec.Struct, frozen=True, kw_only=True):
    """
    How to log in to one storage account, at one moment. Two equal logins are interchangeable. Of key, SAS,
    principal and workload identity at most one is there; with none of them, and not anonymous, it is the managed
    identity, the one of ``client_id`` where that is there.
    """

    source: str
    """Where the login came from, for logs: ``files in /etc/secrets/az``, ``process environment``, …"""
    account: str
    endpoint: str
    """Of the account's blobs: with its scheme, and an emulator's account; without a slash at its end."""
    anonymous: bool = False
    account_key: Secret | None = None
    sas_token: Secret | None = None
    """``name=value&…``, percent-encoded, without a question mark."""
    tenant_id: str | None = None
    client_id: str | None = None
    client_secret: Secret | None = None
    federated_token_file: str | None = None
    """Of a workload identity: a token of the pod's, which is exchanged for one of Microsoft Entra's."""
    authority: str = DEFAULT_AUTHORITY
    """Who gives tokens, as https URL without a slash at its end."""
    empty_mounts: tuple[str, ...] = ()
    """Declared mounts in which no login was found: worth a word when the login that was found is refused."""
    unmounted: tuple[str, ...] = ()
    """What is to be said likewise of those that have no mountPath."""

    @property
    def described(self) -> str:
        """The source, with what a SAS says that it is for: what a refusal tells."""
        return f"{self.source} ({shown(self.sas_token)})" if self.sas_token else self.source

    @property
    def takes_tokens(self) -> bool:
        """Whether it is Microsoft Entra who lets it in, by bearer tokens."""
        return not (self.anonymous or self.account_key or self.sas_token)


class AzureLogins(Logins[AzureLogin]):
    """The login of a ``wasb`` connection."""

    def __init__(
        self, connection: Connection, environ: Mapping[str, str], clock: Clock | None = None
    ) -> None:
        def read(mounts: list[Mount]) -> AzureLogin:
            return resolve(connection, mounts, read_mounts(mounts, AZURE_FILE_NAMES), environ)

        super().__init__(connection, read, clock)


def resolve(
    connection: Connection,
    mounts: list[Mount],
    found: dict[str, Found],
    environ: Mapping[str, str],
) -> AzureLogin:
    """
    The login by what was ``found`` in the files of ``mounts``, by the connection and the environment.
    ``CredentialsError`` if a part of it is missing or has expired, ``ConfigurationError`` if a setting is malformed
    or contradicts another; both name the source and the key, never a secret.
    """
    files = from_files(mounts, _renamed(found), LOGIN_NAMES)
    own = from_env(connection, AZURE_NAMES)
    listed = from_variables(connection, environ, AZURE_NAMES)
    explicit = [files, own, listed, storage_config(environ, "wasb")]
    ambient = from_environ(environ, AZURE_NAMES)
    sources = [*explicit, ambient]
    way = anonymous() if connection.options.anonymous else first_way(explicit, ambient)
    source = way.fields["source"]
    if source == own.name:
        _check_apart(own, listed)
    needs_none = connection.options.anonymous or source == files.name
    empty = () if needs_none else tuple(mount.mount_path or "" for mount in mounts)
    is_of_secret = needs_none or source == listed.name
    unmounted = () if is_of_secret else not_mounted(connection, environ)
    account, endpoint = _place(connection, way, sources, unmounted)
    login = AzureLogin(
        account=account,
        endpoint=endpoint,
        authority=_authority(sources),
        empty_mounts=empty,
        unmounted=unmounted,
        **way.fields,  # type: ignore[arg-type]  # fields of AzureLogin, by their names
    )
    _check_login(login, way.setting)
    return login


def _check_apart(own: Source, listed: Source) -> None:
    if any(listed.first(names) for names in LOGIN_NAMES):
        raise ConfigurationError(
            f"a login is said twice, in the {own.name} and in the {listed.name}",
            hint="keep one of them",
        )


def _renamed(found: dict[str, Found]) -> dict[str, Found]:
    """Also ZenML's plain names, as what they are called elsewhere, which counts first."""
    names = {
        plain: name
        for plain_name, name in ZENML_AZURE_NAMES.items()
        for plain in (plain_name, plain_name.replace("_", ""))
    }
    zenml = {names[name]: entry for name, entry in found.items() if name in names}
    return zenml | {name: entry for name, entry in found.items() if name not in names}


def _place(
    connection: Connection, way: Way, sources: Iterable[Source], unmounted: tuple[str, ...]
) -> tuple[str, str]:
    """The account and its endpoint: the connection's own word, then the login's, then that of any source."""
    place = _bucket(connection)
    endpoint = _endpoint(connection, place, way)
    said = [*way.accounts]
    if place.account:
        said.insert(0, Said(place.account, "schema.bucket"))
    if endpoint and (account := account_in(endpoint.value)):
        said.append(Said(account, endpoint.by))
    for one in said[1:]:
        _check_same("the storage account", said[0], one)
    if way.container:
        _check_same("the container", Said(place.bucket, "schema.bucket"), way.container)
    if place.host_suffix and way.suffix:
        _check_same("the domain", Said(place.host_suffix, "schema.bucket"), way.suffix)
    if not said and way.setting is None:
        said += [one for source in sources for one in accounts_of(source)]
    if not said:
        _fail_no_account(way, unmounted)
    account = said[0].value
    if endpoint:
        return account, with_account(endpoint.value, account)
    return account, endpoint_of(account, place.host_suffix)


def _bucket(connection: Connection) -> BucketPath:
    if not isinstance(connection.schema, Bucket):
        raise ConfigurationError(
            f"connection {connection.name!r} of kind wasb names no container",
            hint="give its schema a bucket: wasbs://CONTAINER@ACCOUNT.blob.core.windows.net",
        )
    return parse_bucket("wasb", connection.schema.bucket)


def _endpoint(connection: Connection, place: BucketPath, way: Way) -> Said | None:
    said = connection.options.endpoint
    if not said:
        return Said(place.endpoint, "schema.bucket") if place.endpoint else way.endpoint
    setting = Setting("endpoint", said, "options of the connection")
    return Said(checked_endpoint(setting), "options.endpoint")


def _check_same(what: str, one: Said, other: Said) -> None:
    if one.value != other.value:
        raise ConfigurationError(
            f"{what} is {one.value} by {one.by}, and {other.value} by {other.by}",
            hint="correct one of them",
        )


def _fail_no_account(way: Way, unmounted: tuple[str, ...]) -> NoReturn:
    if way.setting is not None:
        fail_without(way.setting, AzureNames.ACCOUNT)
    raise ConfigurationError(
        "nothing names the storage account",
        hint="; ".join(
            (
                "write schema.bucket as wasbs://CONTAINER@ACCOUNT.blob.core.windows.net, or set AZURE_STORAGE_ACCOUNT",
                *unmounted,
            )
        ),
    )


def _authority(sources: Iterable[Source]) -> str:
    setting = next((one for source in sources if (one := source.first(AzureNames.AUTHORITY))), None)
    if setting is None:
        return DEFAULT_AUTHORITY
    if setting.value.startswith("http://"):
        setting.fail("the authority is without TLS", "write https: secrets are sent there")
    url = url_of(setting, use_ssl=True)
    if url.count("/") > 2:
        setting.fail(
            "there is more behind its host", "write the host alone; the tenant has its own key"
        )
    return url


def _check_login(login: AzureLogin, setting: Setting | None) -> None:
    if login.takes_tokens and login.endpoint.startswith("http://"):
        raise ConfigurationError(
            f"tokens aren't sent without TLS, and the endpoint is {login.endpoint}",
            hint="write the endpoint with https, or log in with a key or SAS",
        )
    if login.sas_token and setting:
        check_scheme(setting, login.sas_token, login.endpoint)
        check_times(setting, login.sas_token, SystemClock().wall())
