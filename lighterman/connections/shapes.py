"""
Every shape that a connection is written in, read into the one model: the contract's (which is Polyaxon's,
with options), Polyaxon's legacy ``persistence`` and ZenML's artifact store.
"""

from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from lighterman.connections.model import (
    Bucket,
    Connection,
    HostPath,
    Kind,
    Mount,
    Options,
    VolumeClaim,
)
from lighterman.connections.uri import connection_of, is_uri, parse_bucket
from lighterman.document import parse_document
from lighterman.errors import ConfigurationError
from lighterman.secret import Secret
from lighterman.strict import decode, fail, suggestion, under

_KWARGS = ("client_kwargs", "config_kwargs", "s3_additional_kwargs")
_ZENML_KINDS: dict[str, Kind] = {"s3": "s3", "gcp": "gcs", "azure": "wasb", "local": "host_path"}


class Foreign(NamedTuple):
    """A connection of Polyaxon's catalog that holds no files (a git host, a registry, a webhook)."""

    name: str
    kind: str
    origin: str


Read: TypeAlias = Connection | Foreign


class EnvVar(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One variable, as Kubernetes writes it. ``valueFrom`` is only the kubelet's to resolve."""

    name: str
    value: str = ""
    value_from: object = None


class ConnectionDocument(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True
):
    """The contract's shape. ``schema`` is read by its kind afterwards."""

    name: str
    kind: Literal["s3", "gcs", "wasb", "azure", "volume_claim", "host_path"]
    schema: object
    secret: Mount | None = None
    config_map: Mount | None = None
    env: tuple[EnvVar, ...] | dict[str, str] | None = None
    options: Options | None = None
    description: str | None = None
    tags: tuple[str, ...] | str | None = None
    annotations: dict[str, str] | None = None


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


class LegacyDocument(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True
):
    """One entry of Polyaxon's ``persistence``: a store with its bucket, or a mounted volume."""

    store: Literal["s3", "gcs", "azure"] | None = None
    bucket: str | None = None
    secret: str | None = None
    secret_key: str | None = None
    mount_path: str | None = None
    host_path: str | None = None
    existing_claim: str | None = None
    read_only: bool = False


def read_catalog(data: object, origin: str, *, foreign_kinds: bool = False) -> list[Read]:
    """
    The connections of a catalog: ``connections: [...]``, the bare list, ``persistence: {...}``.
    ``foreign_kinds`` lets kinds that hold no files pass, as ``Foreign``.
    """
    if isinstance(data, list):
        return _entries(data, origin, "", foreign_kinds=foreign_kinds)
    if not isinstance(data, dict):
        fail(
            origin,
            "",
            "no catalog: it is empty" if data is None else "no catalog: neither list nor mapping",
            "write connections: [...]",
        )
    members = ("connections", "persistence")
    for name in data:
        if name not in members:
            fail(origin, name, "unknown field", suggestion(name, members, "valid fields"))
    if not data:
        fail(origin, "", "no catalog: it is empty", "write connections: [...]")
    found: list[Read] = []
    if "connections" in data:
        entries = decode(data["connections"], list[object], origin, "connections")
        found += _entries(entries, origin, "connections", foreign_kinds=foreign_kinds)
    if "persistence" in data:
        found += _legacy(data["persistence"], origin)
    return found


def _entries(entries: list[object], origin: str, place: str, *, foreign_kinds: bool) -> list[Read]:
    return [
        _entry(entry, origin, under(place, index), foreign_kinds=foreign_kinds)
        for index, entry in enumerate(entries)
    ]


def _entry(data: object, origin: str, place: str, *, foreign_kinds: bool) -> Read:
    if isinstance(data, dict):
        if foreign_kinds and (foreign := _foreign(data, origin, place)):
            return foreign
        if "flavor" in data:
            return _zenml(data, origin, place)
        if "options" in data and isinstance(data["options"], dict):
            options = _with_parsed_kwargs(data["options"], origin, under(place, "options"))
            data = {**data, "options": options}
    return _own(decode(data, ConnectionDocument, origin, place), origin, place)


def _foreign(data: dict[str, Any], origin: str, place: str) -> Foreign | None:
    kind, name = data.get("kind"), data.get("name")
    own = ("s3", "gcs", "wasb", "azure", "volume_claim", "host_path")
    if not isinstance(kind, str) or not isinstance(name, str) or kind in own:
        return None
    return Foreign(_checked_name(name, origin, place), kind, f"{origin} {place}".strip())


def _own(document: ConnectionDocument, origin: str, place: str) -> Connection:
    kind: Kind = "wasb" if document.kind == "azure" else document.kind
    tags = document.tags
    if isinstance(tags, str):
        tags = tuple(tag.strip() for tag in tags.split(",") if tag.strip())
    return Connection(
        name=_checked_name(document.name, origin, place),
        kind=kind,
        schema=_schema(kind, document.schema, origin, under(place, "schema")),
        secret=_checked_mount(document.secret, origin, under(place, "secret")),
        config_map=_checked_mount(document.config_map, origin, under(place, "configMap")),
        env=_env(document.env, origin, under(place, "env")),
        options=document.options or Options(),
        description=document.description,
        tags=tags or (),
        annotations=document.annotations or {},
        origin=_origin(origin, place),
    )


def _schema(kind: Kind, data: object, origin: str, place: str) -> Bucket | VolumeClaim | HostPath:
    if kind == "volume_claim":
        claim = decode(data, VolumeClaim, origin, place)
        _check_absolute(claim.mount_path, origin, under(place, "mountPath"))
        return claim
    if kind == "host_path":
        host = decode(data, HostPath, origin, place)
        _check_absolute(host.host_path, origin, under(place, "hostPath"))
        _check_absolute(host.mount_path, origin, under(place, "mountPath"))
        return host
    bucket = decode(data, Bucket, origin, place)
    _check_bucket(kind, bucket.bucket, origin, under(place, "bucket"))
    return bucket


def _env(
    variables: tuple[EnvVar, ...] | dict[str, str] | None, origin: str, place: str
) -> dict[str, str | Secret]:
    if variables is None or isinstance(variables, dict):
        return dict(variables or {})
    env: dict[str, str | Secret] = {}
    for index, variable in enumerate(variables):
        here = under(place, index)
        if variable.value_from is not None:
            fail(
                origin,
                under(here, "valueFrom"),
                "only a kubelet can resolve it",
                "set it in the pod's container: the process environment is read too",
            )
        if variable.name in env:
            fail(origin, under(here, "name"), f"{variable.name} is set twice", "keep one of them")
        env[variable.name] = variable.value
    return env


def _with_parsed_kwargs(data: dict[str, Any], origin: str, place: str) -> dict[str, Any]:
    """The same mapping, with the kwargs that were JSON strings as the mappings that they are."""
    parsed = dict(data)
    for name in _KWARGS:
        text = data.get(name)
        if not isinstance(text, str):
            continue
        here = under(place, name)
        value = parse_document(text, f"{origin}: {here}", only_json=True)
        if not isinstance(value, dict):
            fail(origin, here, "the JSON in it is no object", 'write it like {"name": "value"}')
        parsed[name] = value
    return parsed


def _zenml(data: dict[str, Any], origin: str, place: str) -> Connection:
    store = decode(_with_parsed_kwargs(data, origin, place), ZenmlDocument, origin, place)
    kind = _ZENML_KINDS[store.flavor]
    if kind != "s3":
        for name in ("key", "secret", "token", *_KWARGS):
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
        name=_checked_name(store.name, origin, place),
        kind=kind,
        schema=_zenml_schema(kind, store.path, origin, under(place, "path")),
        secret=Mount(name=secret) if secret else None,
        env={name: value for name, value in login.items() if value is not None},
        options=Options(
            client_kwargs=store.client_kwargs or {},
            config_kwargs=store.config_kwargs or {},
            s3_additional_kwargs=store.s3_additional_kwargs or {},
        ),
        origin=_origin(origin, place),
    )


def _zenml_schema(kind: Kind, path: str, origin: str, place: str) -> Bucket | HostPath:
    if kind != "host_path":
        _check_bucket(kind, path, origin, place)
        return Bucket(bucket=path)
    if is_uri(path):
        try:
            schema = connection_of(path).schema
        except ConfigurationError as error:
            fail(origin, place, error.message, error.hint)
        if not isinstance(schema, HostPath):
            fail(origin, place, "no path of the flavor local", "write an absolute path")
        return schema
    _check_absolute(path, origin, place)
    return HostPath(host_path=path, mount_path=path)


def _legacy(data: object, origin: str) -> list[Read]:
    members = ("outputs", "data")
    groups = decode(data, dict[str, dict[str, object]], origin, "persistence")
    found: list[Read] = []
    for group, entries in groups.items():
        place = under("persistence", group)
        if group not in members:
            fail(origin, place, "unknown field", suggestion(group, members, "valid fields"))
        if group == "outputs" and any(not isinstance(value, dict) for value in entries.values()):
            found.append(_legacy_entry(group, entries, origin, place))
        else:
            found += [
                _legacy_entry(name, entry, origin, under(place, name))
                for name, entry in entries.items()
            ]
    return found


def _legacy_entry(name: str, data: object, origin: str, place: str) -> Connection:
    entry = decode(data, LegacyDocument, origin, place)
    given = [
        field
        for field, value in (
            ("store", entry.store),
            ("hostPath", entry.host_path),
            ("existingClaim", entry.existing_claim),
        )
        if value is not None
    ]
    if len(given) != 1:
        said = f"{' and '.join(given)} together" if given else "no place in it"
        fail(origin, place, said, "give one of store, hostPath and existingClaim")
    fields = {
        "store": ("bucket", "secret", "secretKey"),
        "hostPath": ("mountPath", "readOnly"),
        "existingClaim": ("mountPath", "readOnly"),
    }[given[0]]
    _check_legacy_fields(data, (given[0], *fields), origin, place)
    kind, schema = _legacy_schema(entry, origin, place)
    mount = None
    if entry.secret is not None:
        mount = Mount(name=entry.secret, items=(entry.secret_key,) if entry.secret_key else None)
    elif entry.secret_key is not None:
        fail(origin, under(place, "secretKey"), "there is no secret beside it", "give secret too")
    return Connection(
        name=_checked_name(name, origin, place),
        kind=kind,
        schema=schema,
        secret=mount,
        origin=_origin(origin, place),
    )


def _check_legacy_fields(data: Any, fields: tuple[str, ...], origin: str, place: str) -> None:
    for field in data:
        if field not in fields:
            fail(
                origin,
                under(place, field),
                f"doesn't go with {fields[0]}",
                f"with {fields[0]} go {', '.join(fields[1:])}",
            )
    wanted = fields[1]
    if data.get(wanted) is None:
        fail(origin, under(place, wanted), "missing", f"{fields[0]} needs it")


def _legacy_schema(
    entry: LegacyDocument, origin: str, place: str
) -> tuple[Kind, Bucket | VolumeClaim | HostPath]:
    if entry.store is not None:
        kind: Kind = "wasb" if entry.store == "azure" else entry.store
        bucket = entry.bucket or ""
        _check_bucket(kind, bucket, origin, under(place, "bucket"))
        return kind, Bucket(bucket=bucket)
    mount_path = entry.mount_path or ""
    _check_absolute(mount_path, origin, under(place, "mountPath"))
    if entry.existing_claim is not None:
        return "volume_claim", VolumeClaim(
            volume_claim=entry.existing_claim, mount_path=mount_path, read_only=entry.read_only
        )
    host_path = entry.host_path or ""
    _check_absolute(host_path, origin, under(place, "hostPath"))
    return "host_path", HostPath(
        host_path=host_path, mount_path=mount_path, read_only=entry.read_only
    )


def _check_bucket(kind: Kind, bucket: str, origin: str, place: str) -> None:
    try:
        parse_bucket(kind, bucket)
    except ConfigurationError as error:
        fail(origin, place, error.message, error.hint)


def _check_absolute(path: str, origin: str, place: str) -> None:
    if not path.startswith("/") or "\0" in path:
        fail(origin, place, "no absolute path", "it begins with a slash")


def _checked_mount(mount: Mount | None, origin: str, place: str) -> Mount | None:
    if mount is not None and mount.mount_path is not None:
        _check_absolute(mount.mount_path, origin, under(place, "mountPath"))
    return mount


def _checked_name(name: str, origin: str, place: str) -> str:
    """A name also becomes a directory (``/lighterman/artifacts/NAME``) and mustn't pass for a URI."""
    if (
        not name.strip()
        or name in (".", "..")
        or any(char in name for char in "/\0\n")
        or is_uri(name)
    ):
        fail(
            origin,
            under(place, "name"),
            "no name of a connection",
            "letters, digits, dashes, dots; no slash, and no URI",
        )
    return name


def _origin(origin: str, place: str) -> str:
    return f"{origin}: {place}"
