"""
From a connection and its login to what the engines are told: endpoint, region, addressing, TLS, proxy,
checksums. Decisions only; nothing is opened here.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import urlencode, urlsplit

import msgspec

from lighterman.connections.credentials import S3Login, other_client_kwargs
from lighterman.connections.model import Bucket, Connection
from lighterman.connections.names import S3Names
from lighterman.connections.uri import parse_bucket
from lighterman.errors import ConfigurationError
from lighterman.stores.failures import Place
from lighterman.stores.network import (
    CONNECT_SECONDS,
    USER_AGENT,
    Network,
    check_bundle,
    proxy_for,
)
from lighterman.stores.s3.kwargs import check_config_kwargs

MOST_TIMEOUT_SECONDS: Final = 86_400.0
"""Far below what sockets take (2**31 ms)."""
DEFAULT_REGION: Final = "us-east-1"

_AWS_SUFFIXES: Final = {
    "cn-": "amazonaws.com.cn",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "": "amazonaws.com",
}
_DNS_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
"""A bucket that can be one label of a host name, also under a wildcard certificate (no dots)."""

_ADDRESS: Final = re.compile(r"[0-9.]+|.*:.*")
"""An IPv4 or IPv6 address, before which no bucket can be put."""

Checksums = Literal["when_supported", "when_required"]


class S3Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All that the engines need to know beside the credentials."""

    connection: str
    bucket: str
    prefix: str
    region: str
    endpoint: str
    """Scheme, host and port, with a path where the endpoint has one; no slash at its end, no bucket."""
    custom_endpoint: bool
    virtual: bool
    """The bucket is a part of the host name."""
    network: Network
    checksums: Checksums
    anonymous: bool
    login: str
    """Where the credentials came from, for error texts."""
    empty_mounts: tuple[str, ...] = ()
    """Declared mounts in which there were none."""
    unmounted: tuple[str, ...] = ()
    """What is to be said likewise of those that have no mountPath."""
    requester_pays: bool
    storage_class: str | None
    write_kwargs: dict[str, object]
    """Parameters of every upload call, by botocore's names."""
    client_kwargs: dict[str, object]
    config_kwargs: dict[str, object]

    @property
    def base_url(self) -> str:
        """The URL of the bucket, without a slash at its end."""
        if not self.virtual:
            return f"{self.endpoint}/{self.bucket}"
        scheme, _, rest = self.endpoint.partition("://")
        return f"{scheme}://{self.bucket}.{rest}"

    @property
    def place(self) -> Place:
        return Place(
            connection=self.connection,
            bucket=self.bucket,
            endpoint=self.endpoint,
            region=self.region,
            login=self.login,
            proxy=self.network.proxy_host,
            empty_mounts=self.empty_mounts,
            unmounted=self.unmounted,
            ca_setting=_CA_SETTING,
        )

    @property
    def customer_key_headers(self) -> dict[str, str]:
        """What a request must carry to read objects that are encrypted with the customer's own key."""
        key = self.write_kwargs.get("SSECustomerKey")
        if not key:
            return {}
        text, digest = str(key), self.write_kwargs.get("SSECustomerKeyMD5")
        if not digest:  # as botocore does: a key without its MD5 is a raw one
            raw = text.encode()
            text = base64.b64encode(raw).decode()
            digest = base64.b64encode(hashlib.md5(raw, usedforsecurity=False).digest()).decode()
        return {
            f"{_CUSTOMER_KEY}-algorithm": str(
                self.write_kwargs.get("SSECustomerAlgorithm", "AES256")
            ),
            f"{_CUSTOMER_KEY}-key": text,
            f"{_CUSTOMER_KEY}-key-md5": str(digest),
        }

    @property
    def md5_etags(self) -> bool:
        """False where what is written gets an ETag that isn't made of MD5s."""
        encryption = str(self.write_kwargs.get("ServerSideEncryption", ""))
        return not encryption.startswith("aws:kms") and not self.customer_key_headers


_CA_SETTING: Final = f"options.ca_bundle or {S3Names.CA_BUNDLE[0]}"
_CUSTOMER_KEY: Final = "x-amz-server-side-encryption-customer"


def configured(
    connection: Connection,
    login: S3Login,
    environ: Mapping[str, str],
    *,
    region: str | None,
    stall_seconds: float,
    concurrency: int,
) -> S3Settings:
    """Everything that the connection, its login and the environment say, decided. ``ConfigurationError``."""
    options = connection.options
    check_config_kwargs(connection)
    config = {name: value for name, value in options.config_kwargs.items() if value is not None}
    bucket, prefix = _bucket_and_prefix(connection)
    region = region or _text(config, "region_name") or DEFAULT_REGION
    if isinstance(login.verify, str):
        check_bundle(login.verify, connection.name, _CA_SETTING)
    endpoint = login.endpoint or _endpoint(region, use_ssl=login.use_ssl)
    anonymous = login.anonymous or config.get("signature_version") == "unsigned"
    return S3Settings(
        connection=connection.name,
        bucket=bucket,
        prefix=prefix,
        region=region,
        endpoint=endpoint,
        custom_endpoint=login.endpoint is not None,
        virtual=_is_virtual(_style(options.addressing_style, config, login), endpoint, bucket),
        network=Network(
            endpoint=endpoint,
            verify=login.verify,
            proxy=proxy_for(
                connection, environ, endpoint, configured=_configured_proxy(config, endpoint)
            ),
            connect_seconds=_seconds(connection, "connect_timeout", CONNECT_SECONDS),
            stall_seconds=_seconds(connection, "read_timeout", stall_seconds),
            concurrency=max(1, concurrency),
            user_agent=_user_agent(connection),
        ),
        checksums=_checksums(options.checksums, config, endpoint),
        anonymous=anonymous,
        login=_described(login),
        empty_mounts=login.empty_mounts,
        unmounted=login.unmounted,
        requester_pays=options.requester_pays,
        storage_class=options.storage_class,
        write_kwargs=_write_kwargs(connection),
        client_kwargs=other_client_kwargs(options),
        config_kwargs=config,
    )


def _bucket_and_prefix(connection: Connection) -> tuple[str, str]:
    if not isinstance(connection.schema, Bucket):
        raise ConfigurationError(
            f"connection {connection.name!r} of kind s3 names no bucket",
            hint="give its schema a bucket: s3://NAME",
            connection=connection.name,
        )
    place = parse_bucket("s3", connection.schema.bucket)
    return place.bucket, place.prefix


def _endpoint(region: str, *, use_ssl: bool) -> str:
    suffix = next(end for start, end in _AWS_SUFFIXES.items() if region.startswith(start))
    return f"{'https' if use_ssl else 'http'}://s3.{region}.{suffix}"


def is_aws(endpoint: str) -> bool:
    """Whether an endpoint is AWS's own."""
    host = urlsplit(endpoint).hostname or ""
    return any(host.endswith("." + suffix) for suffix in _AWS_SUFFIXES.values())


def _style(style: str, config: dict[str, object], login: S3Login) -> str:
    if style == "auto":
        s3 = config.get("s3")
        style = str(s3.get("addressing_style", "auto")) if isinstance(s3, dict) else "auto"
    return "virtual" if style == "auto" and login.virtual else style


def _is_virtual(style: str, endpoint: str, bucket: str) -> bool:
    if style == "auto":
        return is_aws(endpoint) and _DNS_NAME.fullmatch(bucket) is not None
    if style == "virtual" and _ADDRESS.fullmatch(urlsplit(endpoint).hostname or ""):
        raise ConfigurationError(
            f"addressing_style: virtual needs a host name, and {endpoint} is an address",
            hint="write path, or give the endpoint by its name",
        )
    return style == "virtual"


def _checksums(said: Checksums | None, config: dict[str, object], endpoint: str) -> Checksums:
    if said:
        return said
    configured = config.get("request_checksum_calculation")
    if configured == "when_supported" or configured == "when_required":  # noqa: PLR1714  # mypy narrows only so
        return configured
    # Many stores that aren't AWS refuse the checksums that AWS's own SDKs send by default.
    return "when_supported" if is_aws(endpoint) else "when_required"


def _configured_proxy(config: dict[str, object], endpoint: str) -> str:
    proxies = config.get("proxies")
    found = proxies.get(urlsplit(endpoint).scheme) if isinstance(proxies, dict) else None
    return str(found or "")


def _seconds(connection: Connection, name: str, default: float) -> float:
    value = connection.options.config_kwargs.get(name)
    if value is None:
        return default
    if not isinstance(value, (int, float)) or not 0 < value <= MOST_TIMEOUT_SECONDS:
        raise ConfigurationError(
            f"connection {connection.name!r}: {name} of its config_kwargs is no timeout",
            hint="a number of seconds: more than 0, at most a day",
            connection=connection.name,
        )
    return float(value)


def _text(config: dict[str, object], name: str) -> str:
    value = config.get(name)
    return value if isinstance(value, str) else ""


def _user_agent(connection: Connection) -> str:
    config = connection.options.config_kwargs
    said = _text(config, "user_agent") or USER_AGENT
    agent = " ".join(filter(None, (said, _text(config, "user_agent_extra"))))
    if not (agent.isascii() and agent.isprintable()):
        raise ConfigurationError(
            f"connection {connection.name!r}: the user_agent of its config_kwargs is no header",
            hint="printable ASCII, without line breaks",
            connection=connection.name,
        )
    return agent


def _write_kwargs(connection: Connection) -> dict[str, object]:
    """The options as parameters of upload calls; what ``s3_additional_kwargs`` says wins."""
    options = connection.options
    kwargs: dict[str, object] = {}
    if options.acl:
        kwargs["ACL"] = options.acl
    if options.kms_key:
        kwargs |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": options.kms_key}
    if options.tags:
        kwargs["Tagging"] = urlencode(options.tags)
    return kwargs | options.s3_additional_kwargs


def _described(login: S3Login) -> str:
    if not login.empty_mounts:
        return login.source
    return f"{login.source}, as there are none in {' and '.join(login.empty_mounts)}"
