"""
The login of a GCS connection, found in its sources at one moment. The credentials come from one source, the
first that has any: mounted files, the connection's own env, the variables of a secret that isn't mounted, KServe's
storage config, the process environment, the SDK's own chain (gcloud's application default credentials, then the metadata server).
Project, scopes, endpoint and CA merge, options first.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from lighterman.clock import Clock
from lighterman.connections.credentials import Logins
from lighterman.connections.gcs_keyfile import (
    KeyFile,
    checked,
    decoded,
    is_key_file,
    is_key_text,
    read_path,
    well_known_path,
)
from lighterman.connections.kserve import storage_config
from lighterman.connections.model import Connection, Mount, Options
from lighterman.connections.mounted import Found, read_mounts
from lighterman.connections.names import GCS_NAMES, GcsNames
from lighterman.connections.sources import (
    Setting,
    Source,
    from_env,
    from_environ,
    from_files,
    url_of,
)
from lighterman.connections.unmounted import from_variables, not_mounted
from lighterman.errors import ConfigurationError
from lighterman.secret import Secret

DEFAULT_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
"""As gcloud and Polyaxon ask for it: what is allowed is then decided by IAM's roles alone."""
OWN_CHAIN: Final = "the SDK's own chain"

_SCOPE: Final = re.compile(r"[!#-\[\]-~]+")
"""RFC 6749, 3.3."""


class GcsLogin(msgspec.Struct, frozen=True, kw_only=True):
    """
    How to log in, at one moment. Two equal logins are interchangeable. Without a key file, and not anonymous,
    the metadata server is to be asked.
    """

    source: str
    """Where the login came from, for logs: ``files in /etc/secrets/gcs``, ``process environment``, …"""
    anonymous: bool = False
    key_file: Secret | None = None
    """The JSON text of credentials, checked for what their type needs."""
    key_type: str = ""
    """``service_account``, ``authorized_user``, ``external_account``, …; ``""`` without a key file."""
    account: str = ""
    """Whose the key file is, where it says so."""
    project: str | None = None
    scopes: tuple[str, ...] = DEFAULT_SCOPES
    endpoint: str | None = None
    """With its scheme, without a slash at its end; ``None`` for Google itself."""
    verify: bool | str = True
    """A path is the CA bundle to check the server's certificate with."""
    empty_mounts: tuple[str, ...] = ()
    """Declared mounts in which no login was found: worth a word when the login that was found is refused."""
    unmounted: tuple[str, ...] = ()
    """What is to be said likewise of those that have no mountPath."""
    named_file: str | None = None
    """A key file outside of the mounts that a key names: it may be replaced too."""


_LOGIN_NAMES: Final = (GcsNames.CREDENTIALS_FILE, GcsNames.KEY_PATH, GcsNames.KEYFILE_DICT)


class GcsLogins(Logins[GcsLogin]):
    """
    The login of a ``gcs`` connection. A key file that a key names is read again when it changes, like the
    mounted ones: it is mounted too, by the pod in place of the catalog.
    """

    def __init__(
        self, connection: Connection, environ: Mapping[str, str], clock: Clock | None = None
    ) -> None:
        self._named: Mount | None = None

        def read(watched: list[Mount]) -> GcsLogin:
            mounts = [mount for mount in watched if mount is not self._named]
            found = read_mounts(mounts, GCS_NAMES, is_key_file)
            login = resolve(connection, mounts, found, environ)
            if login.named_file:
                self._named = Mount(name=login.named_file, mount_path=login.named_file)
                mounts.append(self._named)
            self._mounts = mounts
            return login

        super().__init__(connection, read, clock)


def resolve(
    connection: Connection,
    mounts: list[Mount],
    found: Mapping[str, Found],
    environ: Mapping[str, str],
) -> GcsLogin:
    """
    The login by what was ``found`` in the files of ``mounts``, by the connection and the environment.
    ``CredentialsError`` for credentials that can't be used, ``ConfigurationError`` for a setting that is
    malformed; both name the source and the key, never the value.
    """
    key_files = [name for name in found if name.startswith("/")]
    files = from_files(mounts, found, (*_LOGIN_NAMES, GcsNames.ZENML, key_files))
    own = from_env(connection, GCS_NAMES)
    listed = from_variables(connection, environ, GCS_NAMES, is_key_file)
    ambient = from_environ(environ, GCS_NAMES)
    sources = [files, own, listed, ambient]
    settings = _settings(connection.options, sources)
    if connection.options.anonymous:
        return msgspec.structs.replace(settings, source="anonymous", anonymous=True)
    if connection.options.endpoint:
        sources = [_without_emulator(source) for source in sources]
        files, own, listed, ambient = sources
    login = _mounted(files, key_files, sources) or _login_of(files)
    empty = () if login else tuple(mount.mount_path or "" for mount in mounts)
    login = login or _own_login(own, listed)
    is_of_secret = login.get("source") in (files.name, listed.name)
    unmounted = () if is_of_secret else not_mounted(connection, environ)
    login = login or _login_of(storage_config(environ, "gcs"))
    login = login or _login_of(ambient) or _own_chain(environ)
    if settings.project:
        login["project"] = settings.project
    return msgspec.structs.replace(settings, **login, empty_mounts=empty, unmounted=unmounted)


def _mounted(files: Source, key_files: list[str], sources: list[Source]) -> dict[str, object]:
    """The login that a mounted key file is; empty if none is mounted, or if the files name another one."""
    if not key_files or _login_settings(files):
        return {}
    path = key_files[0]
    if len({files.values[each] for each in key_files}) > 1:
        named = _first(sources, (*GcsNames.CREDENTIALS_FILE, *GcsNames.KEY_PATH))
        if named is None or named.value not in key_files:
            raise ConfigurationError(
                f"{' and '.join(key_files)} are several logins at once",
                hint="keep one of them, name it in GC_KEY_PATH, or list it alone under items",
            )
        path = named.value
    return _fields(files, checked(files.values[path], path))


def _own_login(own: Source, listed: Source) -> dict[str, object]:
    """What the connection itself says of a login, at one place only; empty if it says none."""
    sources = [source for source in (own, listed) if _login_settings(source)]
    if len(sources) > 1:
        raise ConfigurationError(
            f"a login is said twice, in the {own.name} and in the {listed.name}",
            hint="keep one of them",
        )
    # An emulator is a login only where there is none for it.
    return _login_of(sources[0]) if sources else _login_of(own) or _login_of(listed)


def _login_of(source: Source) -> dict[str, object]:
    """The fields of a login that this source alone gives; empty if it has none."""
    if source.is_ambient and source.first(GcsNames.EMULATOR):
        # As in the SDK: an emulator needs no login, and must not get one that was meant for Google.
        return _emulator(source)
    settings = _login_settings(source)
    if not settings:
        return _emulator(source) if source.first(GcsNames.EMULATOR) else {}
    if not source.is_ambient and len({_text(setting) for setting in settings}) > 1:
        raise ConfigurationError(
            f"{' and '.join(setting.name for setting in settings)} ({source.name})"
            " are several logins at once",
            hint="keep one of them",
        )
    setting = settings[0]
    by_path = _is_path(setting)
    where = setting.value if by_path else f"{setting.name} ({source.name})"
    fields = _fields(source, checked(_text(setting), where))
    return {**fields, "named_file": setting.value} if by_path else fields


def _login_settings(source: Source) -> list[Setting]:
    """What the source has of the keys that are a login, in the order in which they count."""
    found = [setting for names in _LOGIN_NAMES if (setting := source.first(names))]
    token = source.first(GcsNames.ZENML)
    if token and is_key_text(token.value):
        found.append(token)
    return found


def _is_path(setting: Setting) -> bool:
    """The JSON itself under the name of a path is what ``kubectl create secret --from-file`` often makes."""
    is_dict = setting.name in GcsNames.KEYFILE_DICT
    return not is_dict and not setting.value.lstrip().startswith("{")


def _text(setting: Setting) -> str:
    return read_path(setting) if _is_path(setting) else decoded(setting)


def _fields(source: Source, key: KeyFile) -> dict[str, object]:
    return {
        "source": source.name,
        "key_file": key.text,
        "key_type": key.type,
        "account": key.account,
        "project": key.project,
    }


def _without_emulator(source: Source) -> Source:
    """An emulator that isn't where the connection leads to says nothing about its login."""
    kept = {name: value for name, value in source.values.items() if name not in GcsNames.EMULATOR}
    return source._replace(values=kept)


def _emulator(source: Source) -> dict[str, object]:
    return {"source": f"{GcsNames.EMULATOR[0]} of the {source.name}", "anonymous": True}


def _own_chain(environ: Mapping[str, str]) -> dict[str, object]:
    path = well_known_path(environ)
    if path is None:
        return {"source": OWN_CHAIN}
    source = Source(OWN_CHAIN, {})
    text = read_path(Setting("CLOUDSDK_CONFIG", path, OWN_CHAIN))
    return {**_fields(source, checked(text, path)), "named_file": path}


def _settings(options: Options, sources: list[Source]) -> GcsLogin:
    """What is merged across sources: a login without its credentials."""
    project = _first(sources, GcsNames.PROJECT)
    scopes = _first(sources, GcsNames.SCOPES)
    endpoint = _first(sources, GcsNames.EMULATOR)
    use_ssl = options.endpoint is not None
    if options.endpoint:
        endpoint = Setting("endpoint", options.endpoint, "options of the connection")
    bundle = _first(sources, GcsNames.CA_BUNDLE)
    return GcsLogin(
        source="",
        project=project.value if project else None,
        scopes=_scopes(scopes) if scopes else DEFAULT_SCOPES,
        endpoint=url_of(endpoint, use_ssl=use_ssl) if endpoint else None,
        verify=options.ca_bundle or (bundle.value if bundle else True),
    )


def _first(sources: list[Source], names: Iterable[str]) -> Setting | None:
    names = tuple(names)
    return next((setting for source in sources if (setting := source.first(names))), None)


def _scopes(setting: Setting) -> tuple[str, ...]:
    scopes = tuple(setting.value.replace(",", " ").split())
    if not scopes or not all(map(_SCOPE.fullmatch, scopes)):
        setting.fail(
            "no scopes", f"URLs with commas or spaces between them, like {DEFAULT_SCOPES[0]}"
        )
    return scopes
