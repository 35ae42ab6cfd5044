"""What of a connection no manifest may show, or no cluster would take."""

import re
from typing import Final

from lighterman.connections.model import Bucket, Connection, VolumeClaim
from lighterman.connections.names import is_credential_kwarg, login_in_url
from lighterman.errors import ConfigurationError
from lighterman.pods.logins import WORDS, mounts_of
from lighterman.secret import Secret

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""Of an object of Kubernetes' (https://kubernetes.io/docs/concepts/overview/working-with-objects/names/)."""
_KEY: Final = re.compile(r"(?!\.\.)[-._a-zA-Z0-9]{1,253}")
"""Of a secret's or config map's data, and of a file of that name."""
LONGEST_NAME: Final = 253
MOST_MODE: Final = 0o777


def check_connection(connection: Connection) -> None:
    """
    ``ConfigurationError`` for a credential in clear, which a ConfigMap would show to whoever may read it (the error
    names it, and never its value), and for names and modes that Kubernetes takes nowhere.
    """
    clear = _clear(connection)
    if clear:
        raise ConfigurationError(
            f"{connection.origin or connection.name}: a credential in clear ({', '.join(clear)})",
            hint="put it into a Kubernetes secret, and name that: secret: {name: …}; a catalog becomes a ConfigMap",
            connection=connection.name,
        )
    for what, mount in mounts_of(connection):
        _check_name(connection, WORDS[what], mount.name)
        for item in mount.items or ():
            if not _KEY.fullmatch(item) or item == ".":
                _fail(
                    connection,
                    f"{item!r} is no key of a {WORDS[what]}",
                    "letters, digits, -, _ and .",
                )
        if mount.default_mode is not None and not 0 <= mount.default_mode <= MOST_MODE:
            _fail(
                connection,
                f"the defaultMode of the {WORDS[what]} {mount.name} is no file's mode",
                "write one from 0 to 0777",
            )
    if isinstance(connection.schema, VolumeClaim):
        _check_name(connection, "volume claim", connection.schema.volume_claim)


def _check_name(connection: Connection, what: str, name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        _fail(
            connection,
            f"{name!r} is no name of a {what}",
            "small letters, digits, dashes and dots, as `kubectl get` shows it",
        )


def _fail(connection: Connection, what: str, hint: str) -> None:
    raise ConfigurationError(
        f"{connection.origin or connection.name}: {what}", hint=hint, connection=connection.name
    )


def _clear(connection: Connection) -> list[str]:
    found = [
        f"env {name}"
        for name, value in connection.env.items()
        if isinstance(value, Secret) or has_login(value)
    ]
    if isinstance(connection.schema, Bucket) and has_login(connection.schema.bucket):
        found.append("schema.bucket")
    options = connection.options
    if has_login(options.proxy or ""):
        found.append("options.proxy")
    if has_login(options.endpoint or ""):
        found.append("options.endpoint")
    for name in ("client_kwargs", "config_kwargs", "s3_additional_kwargs"):
        found += [f"options.{name}.{key}" for key in _clear_members(getattr(options, name))]
    return found


def has_login(text: str) -> bool:
    """Whether a URL shows a login; the container of ``wasbs://container@account`` is none."""
    login = login_in_url(text)
    return ":" in login or (login != "" and text.lower().startswith("http"))


def _clear_members(members: object) -> list[str]:
    """Names of members, at any depth, that are credentials or URLs with a login."""
    found = []
    pairs = list(members.items()) if isinstance(members, dict) else []
    for name, value in pairs:
        is_login = isinstance(value, str) and has_login(value)
        if is_credential_kwarg(name) or is_login:
            found.append(name)
        else:
            found += [f"{name}.{inner}" for inner in _clear_members(value)]
    return found
