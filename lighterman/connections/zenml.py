"""ZenML's artifact store, as a connection."""

from typing import Any, Final, Literal

import msgspec

from lighterman.connections.checks import (
    KWARGS,
    check_absolute,
    check_bucket,
    checked_name,
    origin_of,
    with_parsed_kwargs,
)
from lighterman.connections.model import Bucket, Connection, HostPath, Kind, Mount, Options
from lighterman.connections.uri import connection_of, is_uri
from lighterman.errors import ConfigurationError
from lighterman.secret import Secret
from lighterman.strict import decode, fail, under

_ZENML_KINDS: Final[dict[str, Kind]] = {
    "s3": "s3",
    "gcp": "gcs",
    "azure": "wasb",
    "local": "host_path",
}

ONLY_S3: Final = ("key", "secret", "token", *KWARGS)
"""Fields that belong to the flavor s3."""


class ZenmlDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """ZenML's artifact store, with its login in clear or by the name of a secret."""

    name: str
    flavor: Literal["s3", "gcp", "azure", "local"]
    path: str
    authentication_secret: str | None = None
    key: Secret | None = None
    secret: Secret | None = None
    token: Secret | None = None
    client_kwargs: dict[str, object] | None = None
    config_kwargs: dict[str, object] | None = None
    s3_additional_kwargs: dict[str, object] | None = None


def zenml_connection(data: dict[str, Any], origin: str, place: str) -> Connection:
    store = decode(with_parsed_kwargs(data, origin, place), ZenmlDocument, origin, place)
    kind = _ZENML_KINDS[store.flavor]
    if kind != "s3":
        for name in ONLY_S3:
            if getattr(store, name) is not None:
                fail(
                    origin,
                    under(place, name),
                    f"not a field of the flavor {store.flavor}",
                    "it belongs to the flavor s3",
                )
    login = {
        "AWS_ACCESS_KEY_ID": store.key,
        "AWS_SECRET_ACCESS_KEY": store.secret,
        "AWS_SESSION_TOKEN": store.token,
    }
    secret = store.authentication_secret
    return Connection(
        name=checked_name(store.name, origin, place),
        kind=kind,
        schema=_zenml_schema(kind, store.path, origin, under(place, "path")),
        secret=Mount(name=secret) if secret else None,
        env={name: value for name, value in login.items() if value is not None},
        options=Options(
            client_kwargs=store.client_kwargs or {},
            config_kwargs=store.config_kwargs or {},
            s3_additional_kwargs=store.s3_additional_kwargs or {},
        ),
        origin=origin_of(origin, place),
    )


def _zenml_schema(kind: Kind, path: str, origin: str, place: str) -> Bucket | HostPath:
    if kind != "host_path":
        check_bucket(kind, path, origin, place)
        return Bucket(bucket=path)
    if is_uri(path):
        try:
            schema = connection_of(path).schema
        except ConfigurationError as error:
            fail(origin, place, error.message, error.hint)
        if not isinstance(schema, HostPath):
            fail(origin, place, "no path of the flavor local", "write an absolute path")
        return schema
    check_absolute(path, origin, place)
    return HostPath(host_path=path, mount_path=path)
