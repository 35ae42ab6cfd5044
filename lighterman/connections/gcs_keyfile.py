"""
Google's credentials as JSON: a service account's key, a user's login, a workload identity federation, an
impersonation. Read, checked for what they must have, and known as secrets; no SDK is needed for that.
"""

import os
import re
from collections.abc import Mapping
from typing import Final, NamedTuple, NoReturn

from lighterman.connections.mounted import LARGEST_BYTES
from lighterman.connections.names import is_credential
from lighterman.connections.sources import Setting
from lighterman.document import parse_document
from lighterman.errors import ConfigurationError, CredentialsError
from lighterman.secret import Secret

NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "service_account": ("private_key", "client_email", "token_uri"),
    "authorized_user": ("refresh_token", "client_id", "client_secret"),
    "external_account": ("audience", "subject_token_type", "token_url", "credential_source"),
    "external_account_authorized_user": (
        "refresh_token",
        "token_url",
        "client_id",
        "client_secret",
    ),
    "impersonated_service_account": ("service_account_impersonation_url", "source_credentials"),
}
"""What each type of credentials can't do without: https://google.aip.dev/auth/4110 ff."""

_TELLTALE: Final = frozenset(
    {
        "private_key",
        "client_email",
        "refresh_token",
        "credential_source",
        "service_account_impersonation_url",
    }
)
_OBJECTS: Final = ("credential_source", "source_credentials")
_PEM: Final = re.compile(
    r"-----BEGIN (RSA )?PRIVATE KEY-----\s+[A-Za-z0-9+/=\s]+-----END (RSA )?PRIVATE KEY-----"
)
_SECRETS: Final = ("private_key", "refresh_token", "client_secret", "token")
_DOWNLOAD: Final = (
    "take the JSON key file whole, as Google gave it (gcloud iam service-accounts keys create)"
)


class KeyFile(NamedTuple):
    """Credentials that have all they need."""

    text: Secret
    """The JSON, its private key with real line ends."""
    type: str
    account: str
    """Whose they are, where they say it; no secret."""
    project: str | None


def is_key_file(document: Mapping[str, object]) -> bool:
    """Whether a JSON object is meant as Google's credentials, rather than as a place of keys."""
    return document.get("type") in NEEDED or not _TELLTALE.isdisjoint(document)


def is_key_text(text: str) -> bool:
    """The same of a text that may be anything; a key file that was cut short still looks like one."""
    if not text.lstrip().startswith("{"):
        return False
    try:
        document = parse_document(text, "", only_json=True)
    except ConfigurationError:
        return any(f'"{name}"' in text for name in _TELLTALE)
    return isinstance(document, dict) and is_key_file(document)


def read_path(setting: Setting) -> str:
    """The text of the file that a key names. ``CredentialsError`` if it can't be read."""
    path = setting.value
    shown = f" {path}" if path.isprintable() and len(path) <= 255 and "/" in path else ""
    where = f"the file{shown} that {setting.name} ({setting.source}) names"
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_BYTES + 1)
        if len(content) <= LARGEST_BYTES:
            return content.decode("utf-8-sig")
    except FileNotFoundError as error:
        hint = "mount it there, or correct the path"
        raise CredentialsError(f"{where} isn't there", hint=hint) from error
    except OSError as error:
        hint = "let this container's user read it (the secret's defaultMode, the pod's fsGroup)"
        raise CredentialsError(f"{where} can't be read: {error.strerror}", hint=hint) from error
    except (
        ValueError
    ):  # no UTF-8; or a NUL in the path. From nothing: the original holds the content
        pass
    raise CredentialsError(f"{where} is no JSON", hint=f"{_DOWNLOAD}; a .p12 isn't taken") from None


def decoded(setting: Setting) -> str:
    """The JSON text that a key holds, as it is or in base64. ``CredentialsError`` if it is neither."""
    text = setting.value.strip()
    if text.startswith("{"):
        return text
    import base64
    import binascii

    compact = "".join(text.split()).replace("-", "+").replace("_", "/")
    try:
        padded = compact.rstrip("=") + "=" * (-len(compact.rstrip("=")) % 4)
        found = base64.b64decode(padded, validate=True).decode("utf-8-sig").strip()
    except (binascii.Error, ValueError):
        found = ""
    if not found.startswith("{"):
        raise CredentialsError(
            f"{setting.name} ({setting.source}) is neither JSON nor base64 of it",
            hint="give the text of the JSON key file, or what `base64 -w0 key.json` prints",
        )
    return found


def checked(text: str, where: str) -> KeyFile:
    """The credentials in ``text``; ``where`` names them in the ``CredentialsError`` for what they lack."""
    import json

    try:
        info = parse_document(text, where, only_json=True)
    except ConfigurationError as error:
        raise CredentialsError(error.message, hint=_DOWNLOAD) from error
    if not isinstance(info, dict):
        _fail(where, "no JSON object")
    hide(info)
    Secret(text)
    kind = _type_of(info, where)
    _check(info, kind, where)
    if kind == "service_account":
        info["private_key"] = _private_key(info["private_key"], where)
    if kind == "impersonated_service_account":
        source, of_source = info["source_credentials"], f"{where}: source_credentials"
        _check(source, _type_of(source, of_source), of_source)
    project = info.get("project_id") or info.get("quota_project_id")
    account = info.get("client_email") or info.get("service_account_impersonation_url") or ""
    return KeyFile(
        Secret(json.dumps({**info, "type": kind})),
        kind,
        str(account).rpartition("/")[2].partition(":")[0],
        project if isinstance(project, str) and project else None,
    )


def hide(info: Mapping[str, object]) -> None:
    """Let what is secret in credentials be known as such, also as JSON writes it."""
    import json

    for name, value in info.items():
        if isinstance(value, dict):
            hide(value)
        elif isinstance(value, str) and (name in _SECRETS or is_credential(name)):
            Secret(value)
            Secret(value.strip())
            Secret(json.dumps(value)[1:-1])


def _type_of(info: Mapping[str, object], where: str) -> str:
    kind = info.get("type")
    if kind is None and "private_key" in info:  # Polyaxon and the SDK's own loader don't ask for it
        return "service_account"
    if not isinstance(kind, str) or kind not in NEEDED:
        what = "has no type" if kind is None else "is of a type that isn't known"
        raise CredentialsError(
            f"{where} {what}, so it is no credentials of Google's",
            hint=f"take a key file of one of the types {', '.join(NEEDED)}",
        )
    return kind


def _check(info: Mapping[str, object], kind: str, where: str) -> None:
    for name in NEEDED[kind]:
        value = info.get(name)
        if not value:
            _fail(where, f"{kind} without {name}")
        if not isinstance(value, dict if name in _OBJECTS else str):
            _fail(where, f"its {name} is no {'object' if name in _OBJECTS else 'text'}")


def _private_key(value: str, where: str) -> str:
    """With real line ends, where the JSON's own escapes were escaped once more."""
    key = value.replace("\\n", "\n").strip()
    if not _PEM.fullmatch(key):
        _fail(where, "its private_key is no PEM of a private key, or is cut short")
    Secret(key)
    return f"{key}\n"


def _fail(where: str, what: str) -> NoReturn:
    raise CredentialsError(f"{where}: {what}", hint=_DOWNLOAD)


def well_known_path(environ: Mapping[str, str]) -> str | None:
    """Where gcloud keeps the application default credentials; ``None`` where there are none."""
    home = environ.get("HOME")
    directory = environ.get("CLOUDSDK_CONFIG") or (home and os.path.join(home, ".config/gcloud"))
    path = os.path.join(directory, "application_default_credentials.json") if directory else ""
    return path if path and os.path.isfile(path) else None
