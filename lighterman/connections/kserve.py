"""
What KServe gives its storage initializer beside the variables that every SDK knows: ``STORAGE_CONFIG``, the JSON of
one key of its storage secret, with ``STORAGE_OVERRIDE_CONFIG``, the parameters of an InferenceService laid over it; and
the CA bundle that its controller mounts. To a connection they are one more source of its login, before the process
environment: as in KServe, which writes them over it.

The documents are others' too (a bucket, fields of other downloaders): what isn't known here passes, unless it is nearly
one of the known names.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from lighterman.connections.gcs_keyfile import decoded, hide
from lighterman.connections.model import Kind
from lighterman.connections.names import AzureNames, GcsNames, S3Names
from lighterman.connections.sources import Setting, Source
from lighterman.document import parse_document
from lighterman.errors import ConfigurationError, CredentialsError
from lighterman.secret import Secret

CONFIG: Final = "STORAGE_CONFIG"
OVERRIDE: Final = "STORAGE_OVERRIDE_CONFIG"
CA_VARIABLE: Final = "CA_BUNDLE_CONFIGMAP_NAME"
"""Set where KServe's controller has mounted a CA bundle."""
CA_MOUNT_VARIABLE: Final = "CA_BUNDLE_VOLUME_MOUNT_POINT"
_CA_MOUNT: Final = "/etc/ssl/custom-certs"
_CA_FILE: Final = "cabundle.crt"
_SLIP: Final = 0.85
"""As ``lighterman.jobspec`` takes a name for a slip of the pen."""


class _Type(NamedTuple):
    """One ``type`` of a storage config: whose it is, and what its fields are called elsewhere."""

    kind: Kind | None
    """``None``: a place that is none of ours."""
    fields: Mapping[str, str] = {}


_S3: Final = _Type(
    "s3",
    {
        "access_key_id": S3Names.ID[0],
        "secret_access_key": S3Names.SECRET[0],
        "session_token": S3Names.TOKEN[0],
        "endpoint_url": S3Names.ENDPOINT[0],
        "region": S3Names.REGION[0],
        "verify_ssl": S3Names.VERIFY_SSL[0],
        "ca_bundle": S3Names.CA_BUNDLE[0],
        "anonymous": S3Names.ANONYMOUS[0],
    },
)
_KEY_FILE: Final = ("private_key", "client_email", "token_uri")
_BASE64: Final = "base64_service_account"
_GCS: Final = _Type("gcs", dict.fromkeys((_BASE64, *_KEY_FILE), GcsNames.KEYFILE_DICT[0]))
_AZURE: Final = _Type(
    "wasb",
    {
        "account_name": AzureNames.ACCOUNT[0],
        "account_key": AzureNames.KEY[0],
        "access_key": AzureNames.KEY[0],
        "sas_token": AzureNames.SAS[0],
        "connection_string": AzureNames.CONNECTION_STRING[0],
        "tenant_id": AzureNames.TENANT[0],
        "client_id": AzureNames.CLIENT[0],
        "client_secret": AzureNames.CLIENT_SECRET[0],
    },
)
_TYPES: Final[dict[str, _Type]] = {
    "s3": _S3,
    "gs": _GCS,
    "gcs": _GCS,
    "azure": _AZURE,
    "wasb": _AZURE,
    **dict.fromkeys(("hdfs", "webhdfs", "hf", "http", "https", "pvc", "oci"), _Type(None)),
}
_OTHERS: Final = ("type", "bucket", "default_bucket", "container", "cabundle_configmap")
"""Read by KServe's controller, before the container starts; the URI has the bucket by then."""


def storage_config(environ: Mapping[str, str], kind: Kind) -> Source:
    """
    What the storage config says about connections of that kind; nothing if it is about another. ``ConfigurationError``
    for what is malformed, ``CredentialsError`` for half a login: both name the variable and the field, never a value.
    """
    fields: dict[str, object] = {}
    places: dict[str, str] = {}
    for variable in (CONFIG, OVERRIDE):
        for name, value in _read(environ, variable).items():
            fields[name] = value
            places[name] = f"${variable}"
    if not fields:
        return Source(f"${CONFIG}", {})
    known = _type(fields, places)
    if known.kind != kind:
        return Source(f"${CONFIG}", {})
    _refuse_slips(fields, known, places)
    texts = {
        name: _text(name, fields[name], places[name]) for name in fields if name in known.fields
    }
    texts = {name: text for name, text in texts.items() if text}
    name = " and ".join(dict.fromkeys(places[field] for field in texts)) or f"${CONFIG}"
    if kind == "gcs":
        return Source(name, _key_file(texts, places))
    values: dict[str, str] = {}
    called: dict[str, str] = {}
    for field, text in texts.items():
        ours = known.fields[field]
        if values.setdefault(ours, text) != text:
            raise ConfigurationError(
                f"{places[field]}: {field} and {called[ours]} are several logins at once",
                hint="keep one of them",
            )
        called[ours] = field
    return Source(name, values, called={ours: field for field, ours in known.fields.items()})


def ca_bundle(environ: Mapping[str, str]) -> Source:
    """The CA bundle that KServe's controller mounts for S3, where it has."""
    if not environ.get(CA_VARIABLE):
        return Source(f"${CA_VARIABLE}", {})
    path = os.path.join(environ.get(CA_MOUNT_VARIABLE) or _CA_MOUNT, _CA_FILE)
    return Source(f"${CA_MOUNT_VARIABLE}", {S3Names.CA_BUNDLE[0]: path})


def _read(environ: Mapping[str, str], variable: str) -> dict[str, object]:
    text = environ.get(variable, "")
    if not text.strip():
        return {}
    Secret(text)
    document = parse_document(text, f"${variable}", only_json=True)
    if not isinstance(document, dict):
        raise ConfigurationError(
            f"${variable}: not a JSON object",
            hint='write it as KServe\'s storage secret has it: {"type": "s3", …}',
        )
    hide(document)
    return document


def _type(fields: Mapping[str, object], places: Mapping[str, str]) -> _Type:
    where = places.get("type", f"${CONFIG}")
    name = fields.get("type")
    if name is None or name == "":
        raise ConfigurationError(
            f"{where}: type: missing", hint=f"say what it is of: {_listed(_TYPES)}"
        )
    known = _TYPES.get(name.lower()) if isinstance(name, str) else None
    if known is None:
        raise ConfigurationError(f"{where}: type: none of {_listed(_TYPES)}", hint="correct it")
    return known


def _refuse_slips(fields: Mapping[str, object], known: _Type, places: Mapping[str, str]) -> None:
    names = (*known.fields, *_OTHERS)
    for name in fields:
        if name in names:
            continue
        import difflib

        close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=_SLIP)
        if close:
            raise ConfigurationError(
                f"{places[name]}: {name}: unknown field", hint=f"did you mean {close[0]}?"
            )


def _text(name: str, value: object, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, (str, bool)):
        raise ConfigurationError(f"{where}: {name} is no text", hint="write it in quotes")
    return str(value).lower() if isinstance(value, bool) else value.rstrip("\r\n")


def _key_file(texts: Mapping[str, str], places: Mapping[str, str]) -> dict[str, str]:
    """The key file that the fields are, as its JSON text."""
    import json

    parts = {name: texts[name] for name in _KEY_FILE if name in texts}
    encoded = texts.get(_BASE64)
    if encoded and parts:
        raise ConfigurationError(
            f"{places[_BASE64]}: {_BASE64} and {next(iter(parts))} are several logins at once",
            hint="keep one of them",
        )
    if encoded:
        setting = Setting(_BASE64, encoded, places[_BASE64])
        return {GcsNames.KEYFILE_DICT[0]: Secret(decoded(setting)).reveal()}
    missing = [name for name in ("private_key", "client_email") if name not in parts]
    if parts and missing:
        first = next(iter(parts))
        raise CredentialsError(
            f"{places[first]}: {first} without {missing[0]}", hint=f"give {missing[0]} beside it"
        )
    if not parts:
        return {}
    token_uri = "https://oauth2.googleapis.com/token"  # noqa: S105 - where tokens come from, as in every key file
    document = {"type": "service_account", "token_uri": token_uri, **parts}
    return {GcsNames.KEYFILE_DICT[0]: json.dumps(document)}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
