"""
From a connection and its login to what the engines are told: container, endpoint, TLS, proxy, and what each
object is given. Decisions only; nothing is opened here.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

import msgspec

from lighterman.connections.azure_login import AzureLogin
from lighterman.connections.model import Bucket, Connection, Options
from lighterman.connections.uri import parse_bucket
from lighterman.errors import ConfigurationError
from lighterman.stores.failures import Place
from lighterman.stores.keys import quoted
from lighterman.stores.network import Network, check_bundle, proxy_for

TIERS: Final = ("Hot", "Cool", "Cold", "Archive")
_CONTAINER: Final = re.compile(r"\$root|\$web|\$logs|(?=.{3,63}$)[a-z0-9]+(?:-[a-z0-9]+)*")
"""https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata"""
_OF_S3: Final = (
    "region",
    "addressing_style",
    "checksums",
    "acl",
    "requester_pays",
    "client_kwargs",
    "config_kwargs",
    "s3_additional_kwargs",
)
"""Options that mean nothing to Azure."""
_MOST_TAGS: Final = 10


class AzureSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All that the engines need to know beside the login."""

    connection: str
    container: str
    prefix: str
    endpoint: str
    """Of the account's blobs, without a slash at its end, without the container."""
    network: Network
    login: str
    """Where the credentials came from, for error texts."""
    empty_mounts: tuple[str, ...] = ()
    """Declared mounts in which there were none."""
    unmounted: tuple[str, ...] = ()
    """What is to be said likewise of those that have no mountPath."""
    tier: str | None
    """The access tier of what is written; ``None``: the account's."""
    tags: dict[str, str]
    encryption_scope: str | None

    @property
    def container_url(self) -> str:
        """Without a slash at its end."""
        return f"{self.endpoint}/{self.container}"

    def url(self, key: str) -> str:
        """An object's."""
        return f"{self.container_url}/{quoted(key)}"

    @property
    def place(self) -> Place:
        return Place(
            connection=self.connection,
            bucket=self.container,
            endpoint=self.endpoint,
            region="",
            login=self.login,
            proxy=self.network.proxy_host,
            empty_mounts=self.empty_mounts,
            unmounted=self.unmounted,
        )

    @property
    def scope_headers(self) -> dict[str, str]:
        """What every request that brings bytes must say."""
        return {"x-ms-encryption-scope": self.encryption_scope} if self.encryption_scope else {}

    @property
    def write_headers(self) -> dict[str, str]:
        """What a request that makes an object says beside its attributes."""
        headers = dict(self.scope_headers)
        if self.tier:
            headers["x-ms-access-tier"] = self.tier
        if self.tags:
            headers["x-ms-tags"] = urlencode(self.tags)
        return headers


def configured(
    connection: Connection,
    login: AzureLogin,
    environ: Mapping[str, str],
    *,
    stall_seconds: float,
    concurrency: int,
) -> AzureSettings:
    """Everything that the connection, its login and the environment say, decided. ``ConfigurationError``."""
    options = connection.options
    _refuse_others(connection)
    if not isinstance(connection.schema, Bucket):
        raise ConfigurationError(
            f"connection {connection.name!r} of kind wasb names no container",
            hint="give its schema a bucket: wasbs://CONTAINER@ACCOUNT.blob.core.windows.net",
            connection=connection.name,
        )
    place = parse_bucket("wasb", connection.schema.bucket)
    if not _CONTAINER.fullmatch(place.bucket):
        raise ConfigurationError(
            f"{place.bucket!r} is no name of a container",
            hint="3 to 63 lower-case letters, digits and single dashes between them",
            connection=connection.name,
        )
    if options.ca_bundle:
        check_bundle(options.ca_bundle, connection.name, "options.ca_bundle")
    return AzureSettings(
        connection=connection.name,
        container=place.bucket,
        prefix=place.prefix,
        endpoint=login.endpoint,
        network=Network(
            endpoint=login.endpoint,
            verify=options.ca_bundle or True,
            proxy=proxy_for(connection, environ, login.endpoint),
            stall_seconds=stall_seconds,
            concurrency=max(1, concurrency),
        ),
        login=login.described,
        empty_mounts=login.empty_mounts,
        unmounted=login.unmounted,
        tier=_tier(connection),
        tags=_tags(connection),
        encryption_scope=options.kms_key,
    )


def _refuse_others(connection: Connection) -> None:
    usual = Options()
    for name in _OF_S3:
        if getattr(connection.options, name) != getattr(usual, name):
            raise ConfigurationError(
                f"connection {connection.name!r}: Azure has no options.{name}",
                hint="take it out; storage_class (access tier), tags (blob tags) and kms_key"
                " (encryption scope) are what Azure takes",
                connection=connection.name,
            )


def _tier(connection: Connection) -> str | None:
    said = connection.options.storage_class
    if said is None:
        return None
    for tier in TIERS:
        if tier.lower() == said.lower():
            return tier
    raise ConfigurationError(
        f"connection {connection.name!r}: {said!r} is no access tier (options.storage_class)",
        hint=f"write one of {', '.join(TIERS)}",
        connection=connection.name,
    )


def _tags(connection: Connection) -> dict[str, str]:
    tags = connection.options.tags or {}
    if len(tags) > _MOST_TAGS:
        raise ConfigurationError(
            f"connection {connection.name!r}: {len(tags)} tags, and a blob takes {_MOST_TAGS}",
            hint="shorten options.tags",
            connection=connection.name,
        )
    return tags
