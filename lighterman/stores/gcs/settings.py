"""
From a connection and its login to what the engines are told: bucket, endpoint, network, and what goes along
with each object. Decisions only; nothing is opened here.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from lighterman.connections.gcs_login import GcsLogin
from lighterman.connections.model import Bucket, Connection, Options
from lighterman.connections.names import GcsNames
from lighterman.connections.uri import parse_bucket
from lighterman.errors import ConfigurationError
from lighterman.stores.failures import Place
from lighterman.stores.network import Network, check_bundle, proxy_for

GOOGLE: Final = "https://storage.googleapis.com"
_CA_SETTING: Final = f"options.ca_bundle or {GcsNames.CA_BUNDLE[0]}"
_UNFIT: Final = {
    "region": "a GCS bucket knows its location by itself",
    "addressing_style": "GCS has one",
    "checksums": "GCS always takes and tells CRC32C",
    "tags": "GCS objects have no tags (buckets do)",
    "client_kwargs": "they are botocore's",
    "config_kwargs": "they are botocore's",
    "s3_additional_kwargs": "they are botocore's; GCS has storage_class, kms_key and acl",
}
"""Options that GCS can't honour, each with the reason."""


class GcsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All that the engines need to know beside the credentials."""

    connection: str
    bucket: str
    prefix: str
    network: Network
    anonymous: bool
    login: str
    """Where the credentials came from, for error texts."""
    empty_mounts: tuple[str, ...]
    """Declared mounts in which no login was found."""
    unmounted: tuple[str, ...]
    """What is to be said likewise of those that have no mountPath."""
    storage_class: str | None
    kms_key: str | None
    """The resource name of a Cloud KMS key."""
    acl: str | None
    """A predefined ACL."""
    user_project: str | None
    """The project that pays for requests to a requester-pays bucket."""

    @property
    def endpoint(self) -> str:
        return self.network.endpoint

    @property
    def place(self) -> Place:
        return Place(
            connection=self.connection,
            bucket=self.bucket,
            endpoint=self.endpoint,
            region="",
            login=self.login,
            proxy=self.network.proxy_host,
            empty_mounts=self.empty_mounts,
            unmounted=self.unmounted,
            ca_setting=_CA_SETTING,
        )


def configured(
    connection: Connection,
    login: GcsLogin,
    environ: Mapping[str, str],
    *,
    stall_seconds: float,
    concurrency: int,
) -> GcsSettings:
    """Everything that the connection, its login and the environment say, decided. ``ConfigurationError``."""
    options = connection.options
    _refuse_unfit(connection)
    if not isinstance(connection.schema, Bucket):
        raise ConfigurationError(
            f"connection {connection.name!r} of kind gcs names no bucket",
            hint="give its schema a bucket: gs://NAME",
            connection=connection.name,
        )
    place = parse_bucket("gcs", connection.schema.bucket)
    return GcsSettings(
        connection=connection.name,
        bucket=place.bucket,
        prefix=place.prefix,
        network=network_to(
            login.endpoint or GOOGLE,
            connection,
            login,
            environ,
            stall_seconds=stall_seconds,
            concurrency=concurrency,
        ),
        anonymous=login.anonymous,
        login=login.source,
        empty_mounts=login.empty_mounts,
        unmounted=login.unmounted,
        storage_class=options.storage_class,
        kms_key=options.kms_key,
        acl=options.acl,
        user_project=_user_project(connection, login),
    )


def network_to(
    endpoint: str,
    connection: Connection,
    login: GcsLogin,
    environ: Mapping[str, str],
    *,
    stall_seconds: float,
    concurrency: int,
) -> Network:
    """The way to the bucket's endpoint, or to one that gives out tokens. ``ConfigurationError``."""
    if isinstance(login.verify, str):
        check_bundle(login.verify, connection.name, _CA_SETTING)
    return Network(
        endpoint=endpoint,
        verify=login.verify,
        proxy=proxy_for(connection, environ, endpoint),
        stall_seconds=stall_seconds,
        concurrency=max(1, concurrency),
    )


def _refuse_unfit(connection: Connection) -> None:
    usual = Options()
    for name, reason in _UNFIT.items():
        if getattr(connection.options, name) != getattr(usual, name):
            raise ConfigurationError(
                f"connection {connection.name!r}: GCS can't honour options.{name}",
                hint=f"leave it out: {reason}",
                connection=connection.name,
            )


def _user_project(connection: Connection, login: GcsLogin) -> str | None:
    if not connection.options.requester_pays:
        return None
    if not login.project:
        raise ConfigurationError(
            f"connection {connection.name!r}: requester_pays needs the project that pays",
            hint="name it in GOOGLE_PROJECT; this login says none",
            connection=connection.name,
        )
    return login.project
