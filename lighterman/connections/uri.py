"""
Places as URIs: in place of a connection's name, and in ``schema.bucket``.

The keys of S3 and GCS are taken as they stand, as their own tools do (``%20`` is three characters, ``//``
stays); only ``https`` and ``file`` URIs, which browsers and shells encode, are decoded.
"""

import re
from typing import Final, NamedTuple

from lighterman.connections.azure_endpoint import is_account, is_path_style
from lighterman.connections.model import Bucket, Connection, HostPath, Kind
from lighterman.errors import ConfigurationError
from lighterman.secret import MASK, Secret

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_ACCOUNT_HOST: Final = re.compile(
    r"([a-z0-9]{3,24})\.(?:blob|dfs)\.([a-z0-9.-]+\.[a-z]+)", re.IGNORECASE
)
_KINDS: Final[dict[str, Kind]] = {
    "s3": "s3",
    "gs": "gcs",
    "https": "wasb",
    "http": "wasb",
    "wasb": "wasb",
    "wasbs": "wasb",
    "abfs": "wasb",
    "abfss": "wasb",
    "az": "wasb",
    "file": "host_path",
}
_ALIASES: Final = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "azure": "az"}
_NO_PLACES: Final = {
    "hf": "Hugging Face's hub is no store of files",
    "modelscope": "ModelScope's hub is no store of files",
    "oci": "a registry is no store of files",
    "hdfs": "HDFS isn't known here",
    "webhdfs": "HDFS isn't known here",
    "pvc": "a claim is mounted by its pod, not fetched",
}
"""What KServe's users write too."""
_FORMS: Final[dict[Kind, str]] = {
    "s3": "s3://BUCKET/PREFIX",
    "gcs": "gs://BUCKET/PREFIX",
    "wasb": "wasbs://CONTAINER@ACCOUNT.blob.core.windows.net/PREFIX",
    "host_path": "file:///PATH",
}
_ALL_FORMS: Final = (
    "s3://, gs://, https://ACCOUNT.blob.core.windows.net/CONTAINER/…, "
    "wasbs://, wasb://, abfs://, abfss://, az://, file:///"
)


class BucketPath(NamedTuple):
    """A bucket (Azure: a container) and the path in it."""

    bucket: str
    prefix: str
    """``""`` or a path without slashes at its ends; inside it everything is as it was written."""
    account: str = ""
    """Azure's storage account, where the URI names it."""
    host_suffix: str = ""
    """Azure's domain behind the account and ``blob.``, where the URI names it."""
    endpoint: str = ""
    """Of an emulator's account (``http://127.0.0.1:10000/devstoreaccount1``), where the URI names it."""


def is_uri(name: str) -> bool:
    """True if ``name`` is meant as a URI, rather than as a connection's name."""
    return "://" in name or name.startswith("file:")


def connection_of(uri: str) -> Connection:
    """
    The connection that a URI is: named by the URI itself without what is secret in it, with ambient
    credentials. ``ConfigurationError`` if it can't be one.
    """
    scheme = _scheme_of(uri)
    if scheme == "file":
        path = _file_path(uri)
        schema = HostPath(host_path=path, mount_path=path)
        return Connection(name=uri, kind="host_path", schema=schema, origin="uri")
    kind = _KINDS[scheme]
    bare, query = _without_query(uri) if kind == "wasb" else (uri, "")
    parse_bucket(kind, bare)
    env: dict[str, str | Secret] = {"AZURE_STORAGE_SAS_TOKEN": Secret(query)} if query else {}
    return Connection(name=bare, kind=kind, schema=Bucket(bucket=bare), env=env, origin="uri")


def parse_bucket(kind: Kind, text: str) -> BucketPath:
    """
    Bucket and prefix of a ``schema.bucket``: a URI of the kind's cloud, ``bucket/prefix`` or ``bucket``.
    ``ConfigurationError`` with a hint if it is none of these.
    """
    scheme, rest = "", text
    if is_uri(text):
        scheme = _scheme_of(text)
        rest = text[len(scheme) + 3 :]
        if _KINDS[scheme] != kind:
            raise ConfigurationError(
                f"{_shown(text)} is no place of kind {kind}",
                hint=f"write {_FORMS[kind]}, or change the kind to {_KINDS[scheme]}",
            )
    authority, _, path = rest.partition("/")
    if kind == "wasb":
        if _without_query(text)[1]:
            raise ConfigurationError(
                f"{_shown(text)} was given with a query",
                hint="a SAS token belongs in a secret or env, as AZURE_STORAGE_SAS_TOKEN",
            )
        return _azure_path(text, scheme, authority, path)
    if "@" in authority:
        raise ConfigurationError(
            f"{_shown(text)} has a login in it",
            hint="credentials belong in a secret, the connection's env or the environment",
        )
    return BucketPath(_checked_bucket(authority, text, kind), path.strip("/"))


def _azure_path(text: str, scheme: str, authority: str, path: str) -> BucketPath:
    if scheme in ("http", "https"):
        from urllib.parse import unquote

        if is_path_style(_host_of(scheme, authority)):
            account, _, path = path.partition("/")
            container, _, prefix = unquote(path).partition("/")
            return BucketPath(
                _checked_bucket(container, text, "wasb"),
                prefix.strip("/"),
                _checked_account(account, text),
                endpoint=f"{scheme}://{authority}/{account}",
            )
        if scheme == "http":
            raise ConfigurationError(
                f"{_shown(text)} is without TLS", hint="write https://; only emulators go without"
            )
        account, suffix = _account_and_suffix(authority, text)
        container, _, prefix = unquote(path).partition("/")
        return BucketPath(
            _checked_bucket(container, text, "wasb"), prefix.strip("/"), account, suffix
        )
    container, at, host = authority.partition("@")
    account, suffix = _account_and_suffix(host, text) if at else ("", "")
    return BucketPath(_checked_bucket(container, text, "wasb"), path.strip("/"), account, suffix)


def _host_of(scheme: str, authority: str) -> str:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(f"{scheme}://{authority}")
        is_port = parts.port != 0
    except ValueError:  # a port above 65535, an IPv6 address that is none
        return ""
    return parts.hostname or "" if is_port and "@" not in authority else ""


def _checked_account(account: str, text: str) -> str:
    if not is_account(account):
        raise ConfigurationError(
            f"{_shown(text)} names no storage account of Azure",
            hint="write an emulator's http://127.0.0.1:10000/ACCOUNT/CONTAINER/PREFIX, or"
            f" {_FORMS['wasb']}",
        )
    return account


def _account_and_suffix(host: str, text: str) -> tuple[str, str]:
    match = _ACCOUNT_HOST.fullmatch(host)
    if match is None:
        hint = f"of https URIs only Azure's are taken: {_ALL_FORMS}"
        if "amazonaws.com" in host:
            hint = "for S3 write s3://BUCKET/PREFIX"
        elif "googleapis.com" in host or "storage.cloud.google.com" in host:
            hint = "for Google Cloud Storage write gs://BUCKET/PREFIX"
        raise ConfigurationError(f"{_shown(text)} names no storage account of Azure", hint=hint)
    return match[1].lower(), match[2].lower()


def _checked_bucket(bucket: str, text: str, kind: Kind) -> str:
    word = "container" if kind == "wasb" else "bucket"
    if not bucket:
        raise ConfigurationError(
            f"{_shown(text) or 'an empty text'} names no {word}", hint=f"write {_FORMS[kind]}"
        )
    if not (_BUCKET.fullmatch(bucket) or (kind == "wasb" and bucket in ("$root", "$web"))):
        raise ConfigurationError(
            f"{_shown(text)}: that is no name of a {word}",
            hint=f"letters, digits, dots, dashes and underscores; write {_FORMS[kind]}",
        )
    return bucket


def _scheme_of(uri: str) -> str:
    match = _SCHEME.match(uri)
    scheme = match[1] if match else ""
    if scheme in _KINDS:
        return scheme
    if uri.startswith("file:"):
        raise ConfigurationError(f"{uri!r} is no absolute path", hint="write file:///PATH")
    lower = scheme.lower()
    if why := _NO_PLACES.get(lower):
        hint = "where it is mounted here, write file:///PATH" if lower == "pvc" else ""
        raise ConfigurationError(
            f"{_shown(uri)}: {lower}:// can't be fetched from: {why}",
            hint=hint
            or f"leave {lower}:// to KServe's own storage initializer; known are {_ALL_FORMS}",
        )
    meant = lower if lower in _KINDS else _ALIASES.get(lower, "")
    raise ConfigurationError(
        f"{_shown(uri)}: a place can't be named so",
        hint=f"write {meant}://" if meant else f"known are {_ALL_FORMS}",
    )


def _file_path(uri: str) -> str:
    from urllib.parse import unquote

    host, slash, path = uri[len("file://") :].partition("/")
    if host not in ("", "localhost") or not slash:
        raise ConfigurationError(
            f"{uri} names the host {host!r}", hint="write file:///PATH, with three slashes"
        )
    decoded = "/" + unquote(path)
    if "\0" in decoded:
        raise ConfigurationError(f"{uri} holds a NUL, which no path can", hint="write file:///PATH")
    return decoded


def _shown(text: str) -> str:
    """The URI as an error may quote it: without a login, and without a query that may be a signature."""
    scheme, separator, rest = text.rpartition("://") if "://" not in text else text.partition("://")
    authority, slash, path = rest.partition("/")
    if "@" in authority and scheme.lower() not in ("wasb", "wasbs", "abfs", "abfss"):
        authority = MASK + "@" + authority.rpartition("@")[2]
    return _without_query(f"{scheme}{separator}{authority}{slash}{path}")[0]


def _without_query(uri: str) -> tuple[str, str]:
    """A URI, and its query where it has one: with https always, else where it is a SAS token."""
    bare, _, query = uri.partition("?")
    is_query = uri.lower().startswith(("http:", "https:")) or "sig=" in query
    return (bare, query) if is_query else (uri, "")
