"""
Places that a login is found in, whatever its cloud: mounted files, the connection's own env, the process
environment. Each is asked for keys by their names; what it gives remembers where it stood, for error texts.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, NoReturn

from lighterman.connections.model import Connection, Mount
from lighterman.connections.mounted import Found
from lighterman.errors import ConfigurationError
from lighterman.secret import Secret

FROM_FILES: Final = "files in "
"""How the source of a login from mounted files begins."""

_ENDPOINT: Final = re.compile(
    r"(?:(https?)://)?[^\s/@?#:]+(?::\d{1,5})?(?:/[^\s?#@]*)?|(https?)://\[[0-9a-fA-F:]+\](?::\d{1,5})?(?:/[^\s?#@]*)?"
)
_LABEL: Final = re.compile(r"[\w-]{1,63}")
"""Of a host name between two dots: RFC 1035, 2.3.4. Docker's names may have an underscore."""


class Setting(NamedTuple):
    """One key's value, and where it stood."""

    name: str
    value: str
    source: str

    def fail(self, what: str, hint: str) -> NoReturn:
        """Raise ``ConfigurationError`` about it; ``what`` must not hold the value of a secret."""
        raise ConfigurationError(f"{self.name} ({self.source}): {what}", hint=hint)


class Source(NamedTuple):
    """One place's settings, by their upper-case names."""

    name: str
    values: Mapping[str, str]
    is_ambient: bool = False
    """True for the environment, which was made for others too: what is there may be about something else."""
    called: Mapping[str, str] = {}
    """What names are called in this place, where it has others."""

    def first(self, names: Iterable[str]) -> Setting | None:
        """The setting of the first of ``names`` that has a value here, as it is called here."""
        for name in names:
            if value := self.values.get(name):
                return Setting(self.called.get(name, name), value, self.name)
        return None


def from_files(
    mounts: list[Mount], found: Mapping[str, Found], login_names: Iterable[Iterable[str]]
) -> Source:
    """What was ``found`` in mounted files, named by the mounts that hold a part of the login itself."""
    places = " and ".join(_places(mounts, found, login_names))
    return Source(FROM_FILES + places, {name: entry.value for name, entry in found.items()})


def from_env(connection: Connection, names: Iterable[str]) -> Source:
    """Those of ``names`` that the connection's own env sets."""
    plain = {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in connection.env.items()
    }
    return Source("env of the connection", _upper(plain, names))


def from_environ(environ: Mapping[str, str], names: Iterable[str]) -> Source:
    """Those of ``names`` that the process environment sets."""
    return Source("process environment", _upper(environ, names), is_ambient=True)


def url_of(setting: Setting, *, use_ssl: bool) -> str:
    """
    An endpoint with its scheme, without a slash at its end; one that was written without a scheme gets it by
    ``use_ssl``. ``ConfigurationError`` for what is none.
    """
    value = setting.value.rstrip("/")
    if not _ENDPOINT.fullmatch(value) or not _is_parsed(value):
        setting.fail("no URL of an endpoint", "write it like https://minio.example:9000")
    if "://" not in value:
        value = f"{'https' if use_ssl else 'http'}://{value}"
    return value


def _places(
    mounts: list[Mount], found: Mapping[str, Found], login_names: Iterable[Iterable[str]]
) -> list[str]:
    parts = {found[name].path for names in login_names for name in names if name in found}
    roots = [mount.mount_path or "" for mount in mounts]
    inside = [root for root in roots if any(f"{path}/".startswith(f"{root}/") for path in parts)]
    return inside or roots


def _upper(environ: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Known names, also those that ZenML writes in lower case; the upper-case one counts first."""
    values = {name: environ.get(name) or environ.get(name.lower()) for name in names}
    return {name: value for name, value in values.items() if value}


def _is_parsed(url: str) -> bool:
    """Whether there can be such a host and port."""
    from urllib.parse import urlsplit

    try:
        parsed = urlsplit(url if "://" in url else f"//{url}")
        host = parsed.hostname or ""
        labels = host.removesuffix(".").split(".")
        return parsed.port != 0 and (":" in host or all(map(_LABEL.fullmatch, labels)))
    except ValueError:  # a port above 65535, an IPv6 address that is none
        return False
