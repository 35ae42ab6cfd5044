"""
``config_kwargs``, checked where they are read: botocore checks the names, but takes any value of most and
fails at the first request, or never says that it went by another.
"""

from collections.abc import Mapping
from typing import Final, NoReturn

from lighterman.connections.model import Connection
from lighterman.errors import ConfigurationError
from lighterman.strict import suggestion

SIGNATURE_VERSIONS: Final = ("s3v4", "v4", "unsigned")
"""All that the engines speak; the old ``s3`` (signature version 2) is refused by what is new at AWS too."""

_WHOLE: Final = (int,)
_SWITCH: Final = (bool,)
_TEXT: Final = (str,)
_MAPPING: Final = (dict,)
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "account_id_endpoint_mode": _TEXT,
    "auth_scheme_preference": _TEXT,
    "client_cert": (str, list, tuple),
    "client_context_params": _MAPPING,
    "defaults_mode": _TEXT,
    "disable_request_compression": _SWITCH,
    "endpoint_discovery_enabled": _SWITCH,
    "ignore_configured_endpoint_urls": _SWITCH,
    "inject_host_prefix": _SWITCH,
    "max_pool_connections": _WHOLE,
    "parameter_validation": _SWITCH,
    "proxies": _MAPPING,
    "proxies_config": _MAPPING,
    "region_name": _TEXT,
    "request_checksum_calculation": _TEXT,
    "request_min_compression_size_bytes": _WHOLE,
    "response_checksum_validation": _TEXT,
    "retries": _MAPPING,
    "s3": _MAPPING,
    "s3_disable_express_session_auth": _SWITCH,
    "signature_version": _TEXT,
    "sigv4a_signing_region_set": _TEXT,
    "tcp_keepalive": _SWITCH,
    "use_dualstack_endpoint": _SWITCH,
    "use_fips_endpoint": _SWITCH,
    "user_agent": _TEXT,
    "user_agent_appid": _TEXT,
    "user_agent_extra": _TEXT,
}
"""https://botocore.amazonaws.com/v1/documentation/api/latest/reference/config.html"""
_S3: Final[dict[str, tuple[type, ...]]] = {
    "addressing_style": _TEXT,
    "payload_signing_enabled": _SWITCH,
    "us_east_1_regional_endpoint": _TEXT,
    "use_accelerate_endpoint": _SWITCH,
    "use_arn_region": _SWITCH,
    "use_dualstack_endpoint": _SWITCH,
}
_RETRIES: Final[dict[str, tuple[type, ...]]] = {
    "max_attempts": _WHOLE,
    "mode": _TEXT,
    "total_max_attempts": _WHOLE,
}
_WRITE_FIELDS: Final = {
    "ACL": "x-amz-acl",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "StorageClass": "x-amz-storage-class",
    "Tagging": "x-amz-tagging",
}
"""https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html; of any others botocore alone knows the form."""
_SAID: Final = {bool: "true or false", int: "a whole number", str: "text", dict: "a mapping"}
_STYLES: Final = ("path", "virtual", "auto")
_CHECKSUMS: Final = ("when_supported", "when_required")


def write_fields(kwargs: Mapping[str, object], storage_class: str | None) -> dict[str, str] | None:
    """
    Parameters of upload calls as the header fields of a PUT, or of the begin of an upload by parts; ``None`` where
    one has no such form here.
    """
    given = {"StorageClass": storage_class, **kwargs} if storage_class else kwargs
    fields = {}
    for name, value in given.items():
        field = _WRITE_FIELDS.get(name)
        if field is None or not isinstance(value, str):
            return None
        # What is signed has no blanks in a row or at the ends.
        if not (value.isascii() and value.isprintable()) or " ".join(value.split()) != value:
            return None
        fields[field] = value
    return fields


def check_config_kwargs(connection: Connection) -> None:
    """``ConfigurationError`` for a value that can't be meant, and for a name inside that nothing has."""
    config = connection.options.config_kwargs
    _check(connection, "", config, _TYPES)
    for name, types in (("s3", _S3), ("retries", _RETRIES)):
        inner = config.get(name)
        if isinstance(inner, dict):
            for key in inner:
                if key not in types:
                    _fail(
                        connection,
                        f"{name}.{key}",
                        "nothing has that name",
                        suggestion(key, list(types), "valid are"),
                    )
            _check(connection, f"{name}.", inner, types)
    version = config.get("signature_version")
    if version is not None and version not in SIGNATURE_VERSIONS:
        hint = f"one of {', '.join(SIGNATURE_VERSIONS)}; the first is the default"
        _fail(connection, "signature_version", f"{version!r} isn't spoken", hint)
    s3 = config.get("s3")
    style = s3.get("addressing_style") if isinstance(s3, dict) else None
    if style not in (None, *_STYLES):
        _fail(
            connection,
            "s3.addressing_style",
            f"no style is {style!r}",
            f"one of {', '.join(_STYLES)}",
        )
    for name in ("request_checksum_calculation", "response_checksum_validation"):
        if config.get(name) not in (None, *_CHECKSUMS):
            _fail(connection, name, "no such time", f"one of {', '.join(_CHECKSUMS)}")
    pool = config.get("max_pool_connections")
    if isinstance(pool, int) and pool < 1:
        _fail(connection, "max_pool_connections", "less than one", "a whole number of at least 1")
    _check_proxies(connection, config.get("proxies"))


def _check(
    connection: Connection,
    place: str,
    values: dict[str, object],
    types: dict[str, tuple[type, ...]],
) -> None:
    for name, value in values.items():
        wanted = types.get(name)  # a name that isn't here is botocore's to refuse
        if wanted is None or value is None:
            continue
        # A bool is an int to Python, and no number to anybody else.
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            said = _SAID.get(wanted[0], "text")
            _fail(connection, f"{place}{name}", f"expected {said}", f"write {said}")


def _check_proxies(connection: Connection, proxies: object) -> None:
    if not isinstance(proxies, dict):
        return
    for scheme, url in proxies.items():
        if scheme not in ("http", "https"):
            _fail(connection, f"proxies.{scheme}", "no scheme of an endpoint", "http and https are")
        if url is not None and not isinstance(url, str):
            _fail(
                connection, f"proxies.{scheme}", "no URL", "write it like http://proxy.example:3128"
            )


def _fail(connection: Connection, place: str, what: str, hint: str) -> NoReturn:
    raise ConfigurationError(
        f"connection {connection.name!r}: config_kwargs.{place}: {what}",
        hint=hint,
        connection=connection.name,
    )
