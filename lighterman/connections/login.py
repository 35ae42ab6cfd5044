"""
The login of an S3 connection, found in its sources at one moment. Id, secret, token and role come from one
source, the first that has any of them: mounted files, the connection's own env (with the login among its
``client_kwargs``, and the variables of a secret that isn't mounted), KServe's storage config, the process
environment, the SDK's own chain. Region, endpoint and the like are merged, options first.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from lighterman.connections.kserve import ca_bundle, storage_config
from lighterman.connections.model import Connection, Mount, Options
from lighterman.connections.mounted import Found
from lighterman.connections.names import LOGIN_CLIENT_KWARGS, S3_NAMES, S3Names
from lighterman.connections.sources import (
    Setting,
    Source,
    from_env,
    from_environ,
    from_files,
    url_of,
)
from lighterman.connections.unmounted import from_variables, not_mounted
from lighterman.errors import ConfigurationError, CredentialsError
from lighterman.secret import Secret

DEFAULT_ROLE_SESSION: Final = "lighterman"
DEFAULT_ROLE_SECONDS: Final = 3600
ROLE_SECONDS: Final = (900, 43_200)
"""What STS takes: AssumeRole, DurationSeconds, in the API reference."""

_TRUE: Final = ("1", "true", "yes", "on")
_FALSE: Final = ("0", "false", "no", "off")
_REGION: Final = re.compile(r"[A-Za-z0-9._-]+")
_ROLE_SESSION: Final = re.compile(r"[\w+=,.@-]{2,64}")


class S3Login(msgspec.Struct, frozen=True, kw_only=True):
    """
    How to log in, at one moment. Two equal logins are interchangeable. Without keys, role, web identity
    and profile, and not anonymous, the SDK's own chain is to be asked.
    """

    source: str
    """Where the login came from, for logs: ``files in /etc/secrets/s3``, ``process environment``, …"""
    anonymous: bool = False
    access_key_id: Secret | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    role_arn: str | None = None
    """A role to assume with the keys, with the web identity or, without either, with the SDK's own chain."""
    role_session_name: str = DEFAULT_ROLE_SESSION
    role_session_seconds: int = DEFAULT_ROLE_SECONDS
    sts_endpoint: str | None = None
    web_identity_token_file: str | None = None
    profile: str | None = None
    region: str | None = None
    endpoint: str | None = None
    """With its scheme, without a slash at its end; ``None`` for AWS itself."""
    use_ssl: bool = True
    verify: bool | str = True
    """Whether the server's certificate is checked; a path is the CA bundle to check it with."""
    virtual: bool = False
    """Whether the bucket is to be in the host's name, where the connection says nothing of that."""
    empty_mounts: tuple[str, ...] = ()
    """Declared mounts in which no login was found: worth a word when the login that was found is refused."""
    unmounted: tuple[str, ...] = ()
    """What is to be said likewise of those that have no mountPath."""


def other_client_kwargs(options: Options) -> dict[str, object]:
    """``client_kwargs`` without those that are the login, for the store to pass on."""
    return {
        name: value
        for name, value in options.client_kwargs.items()
        if name not in LOGIN_CLIENT_KWARGS
    }


_LOGIN_NAMES: Final = (
    S3Names.ID,
    S3Names.SECRET,
    S3Names.TOKEN,
    S3Names.ROLE,
    S3Names.WEB_IDENTITY,
    S3Names.PROFILE,
)


def resolve(
    connection: Connection,
    mounts: list[Mount],
    found: dict[str, Found],
    environ: Mapping[str, str],
) -> S3Login:
    """
    The login by what was ``found`` in the files of ``mounts``, by the connection and the environment.
    ``CredentialsError`` if a part of it is missing, ``ConfigurationError`` if a setting is malformed; both
    name the source and the key, never the value.
    """
    files = from_files(mounts, found, _LOGIN_NAMES)
    own = from_env(connection, S3_NAMES)
    kwargs = _login_kwargs(connection.options)
    listed = from_variables(connection, environ, S3_NAMES)
    stored = storage_config(environ, "s3")
    ambient = from_environ(environ, S3_NAMES)
    sources = [kwargs, files, own, listed, stored, ambient, ca_bundle(environ)]
    settings = _settings(connection.options, sources)
    if connection.options.anonymous:
        return msgspec.structs.replace(settings, source="anonymous", anonymous=True)
    login = _login_of(files)
    if login:
        return msgspec.structs.replace(settings, **login)
    login = _own_login(kwargs, own, listed)
    unmounted = () if login.get("source") == listed.name else not_mounted(connection, environ)
    login = login or _login_of(stored) or _login_of(ambient)
    login = login or {"source": "the SDK's own chain"}
    empty = tuple(mount.mount_path or "" for mount in mounts)
    return msgspec.structs.replace(settings, **login, empty_mounts=empty, unmounted=unmounted)


def _own_login(*sources: Source) -> dict[str, object]:
    """What the connection itself says of a login, at one place only; empty if it says none."""
    found = [login for source in sources if (login := _login_of(source))]
    if len(found) > 1:
        raise ConfigurationError(
            f"a login is said twice, in the {found[0]['source']} and in the {found[1]['source']}",
            hint="keep one of them",
        )
    return found[0] if found else {}


def _login_kwargs(options: Options) -> Source:
    names = {
        "aws_access_key_id": S3Names.ID,
        "aws_secret_access_key": S3Names.SECRET,
        "aws_session_token": S3Names.TOKEN,
        "region_name": S3Names.REGION,
        "endpoint_url": S3Names.ENDPOINT,
        "use_ssl": S3Names.USE_SSL,
        "verify": S3Names.VERIFY_SSL,
    }
    values: dict[str, str] = {}
    for kwarg, (name, *_) in names.items():
        value = options.client_kwargs.get(kwarg)
        if isinstance(value, Secret):
            value = value.reveal()
        if value is None:
            continue
        if isinstance(value, bool) and kwarg in ("use_ssl", "verify"):
            value = str(value).lower()
        if not isinstance(value, str):
            raise ConfigurationError(
                f"client_kwargs of the connection: {kwarg} is no text", hint="quote it"
            )
        values[name] = value
    return Source("client_kwargs of the connection", values)


class _Parts(NamedTuple):
    """What one source gives of a login."""

    key: Setting | None
    secret: Setting | None
    token: Setting | None
    role: Setting | None
    web: Setting | None
    profile: Setting | None

    @property
    def ways(self) -> list[Setting]:
        """The ways to log in, in the SDK's own order."""
        return [way for way in (self.key, self.web, self.profile) if way]


def _login_of(source: Source) -> dict[str, object]:
    """The fields of a login that this source alone gives; empty if it has none."""
    unsigned = source.first(S3Names.ANONYMOUS)
    if unsigned and _switch(unsigned):
        return {"source": f"{unsigned.name} of the {source.name}", "anonymous": True}
    parts = _Parts(*(source.first(names) for names in _LOGIN_NAMES))
    if not any(parts):
        return {}
    _check_whole(parts, source)
    # Several ways in the environment are usual (EKS puts the web identity into every pod): the first one
    # counts, and the role belongs to the web identity.
    way = parts.ways[0] if parts.ways else None
    role = None if parts.web and way is parts.key else parts.role
    fields: dict[str, object] = {"source": source.name, "role_arn": role.value if role else None}
    if role or not source.is_ambient:
        fields["role_session_name"] = _role_session(source)
        fields["role_session_seconds"] = _role_seconds(source)
    if parts.key and parts.secret:
        fields["access_key_id"] = Secret(parts.key.value)
        fields["secret_access_key"] = Secret(parts.secret.value)
        fields["session_token"] = Secret(parts.token.value) if parts.token else None
    elif way:
        field = "web_identity_token_file" if way is parts.web else "profile"
        fields[field] = way.value
    return fields


def _check_whole(parts: _Parts, source: Source) -> None:
    part = parts.key or parts.secret or parts.token
    if part and not (parts.key and parts.secret):
        missing = S3Names.SECRET[0] if parts.key else S3Names.ID[0]
        missing = source.called.get(missing, missing)
        raise CredentialsError(
            f"{part.name} ({source.name}) without {missing}",
            hint=f"give {missing} in the same place: a login is never put together from several",
        )
    if parts.web and not parts.role and not parts.key:
        raise CredentialsError(
            f"{parts.web.name} ({source.name}) without {S3Names.ROLE[0]}",
            hint=f"give {S3Names.ROLE[0]} in the same place: the token is exchanged for that role",
        )
    if len(parts.ways) > 1 and not source.is_ambient:
        raise ConfigurationError(
            f"{' and '.join(way.name for way in parts.ways)} ({source.name}) are several logins at once",
            hint="keep one of them",
        )


def _role_session(source: Source) -> str:
    setting = source.first(S3Names.ROLE_SESSION)
    if setting is None:
        return DEFAULT_ROLE_SESSION
    if not _ROLE_SESSION.fullmatch(setting.value):
        setting.fail("no name of a session", "2 to 64 letters, digits or any of _ + = , . @ -")
    return setting.value


def _role_seconds(source: Source) -> int:
    setting = source.first(S3Names.ROLE_SECONDS)
    if setting is None:
        return DEFAULT_ROLE_SECONDS
    least, most = ROLE_SECONDS
    if not re.fullmatch(r"[0-9]{1,6}", setting.value) or not least <= int(setting.value) <= most:
        setting.fail("no number of seconds that STS takes", f"a whole number, {least} to {most}")
    return int(setting.value)


def _settings(options: Options, sources: list[Source]) -> S3Login:
    """What is merged across sources: a login without its credentials."""

    def first(names: Iterable[str], said: str | None = None, option: str = "") -> Setting | None:
        if said:
            return Setting(option, said, "options of the connection")
        return next((setting for source in sources if (setting := source.first(names))), None)

    region = first(S3Names.REGION, options.region, "region")
    if region and not _REGION.fullmatch(region.value):
        region.fail("no name of a region", "write it like eu-west-1")
    ssl = first(S3Names.USE_SSL)
    use_ssl = _switch(ssl) if ssl else True
    endpoint_setting = first(S3Names.ENDPOINT, options.endpoint, "endpoint")
    endpoint = url_of(endpoint_setting, use_ssl=use_ssl) if endpoint_setting else None
    sts = first(S3Names.STS_ENDPOINT)
    virtual = first(S3Names.VIRTUAL)
    return S3Login(
        source="",
        region=region.value if region else None,
        endpoint=endpoint,
        use_ssl=endpoint.startswith("https") if endpoint else use_ssl,
        verify=_verify(options, first(S3Names.VERIFY_SSL), first(S3Names.CA_BUNDLE)),
        sts_endpoint=url_of(sts, use_ssl=True) if sts else None,
        virtual=_switch(virtual) if virtual else False,
    )


def _verify(options: Options, setting: Setting | None, bundle: Setting | None) -> bool | str:
    if options.ca_bundle:
        return options.ca_bundle
    verify: bool | str = True
    if setting:
        verify = setting.value if "/" in setting.value else _switch(setting)
    return bundle.value if bundle and verify is True else verify


def _switch(setting: Setting) -> bool:
    value = setting.value.strip().lower()
    hint = "write true or false"
    if setting.name in S3Names.VERIFY_SSL:
        hint += ", or the path of a CA bundle, with a slash in it"
    if value not in _TRUE + _FALSE:
        setting.fail("neither true nor false", hint)
    return value in _TRUE
