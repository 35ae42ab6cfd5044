"""
Every shape that a connection is written in, read into the one model: the contract's (which is Polyaxon's,
with options), Polyaxon's legacy ``persistence`` and ZenML's artifact store.
"""

import re
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from lighterman.connections.checks import (
    check_absolute,
    check_bucket,
    checked_mount,
    checked_name,
    origin_of,
    with_parsed_kwargs,
)
from lighterman.connections.model import (
    Bucket,
    Connection,
    HostPath,
    Kind,
    Mount,
    Options,
    VolumeClaim,
)
from lighterman.secret import Secret
from lighterman.strict import decode, fail, suggestion, under


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
        from lighterman.connections.legacy import legacy_connections

        found += legacy_connections(data["persistence"], origin)
    return found


def _entries(entries: list[object], origin: str, place: str, *, foreign_kinds: bool) -> list[Read]:
    return [
        _entry(entry, origin, under(place, index), foreign_kinds=foreign_kinds)
        for index, entry in enumerate(entries)
    ]


def _entry(data: object, origin: str, place: str, *, foreign_kinds: bool) -> Read:
    if isinstance(data, dict):
        if foreign_kinds:
            if foreign := _foreign(data, origin, place):
                return foreign
            data = _polyaxons(data)
        if "flavor" in data:
            from lighterman.connections.zenml import zenml_connection

            return zenml_connection(data, origin, place)
        if "options" in data and isinstance(data["options"], dict):
            options = with_parsed_kwargs(data["options"], origin, under(place, "options"))
            data = {**data, "options": options}
    return _own(decode(data, ConnectionDocument, origin, place), origin, place)


def _foreign(data: dict[str, Any], origin: str, place: str) -> Foreign | None:
    kind, name = data.get("kind"), data.get("name")
    own = ("s3", "gcs", "wasb", "azure", "volume_claim", "host_path")
    if not isinstance(kind, str) or not isinstance(name, str) or kind in own:
        return None
    return Foreign(checked_name(name, origin, place), kind, origin_of(origin, place))


def _polyaxons(data: dict[str, Any]) -> dict[str, Any]:
    """
    What Polyaxon's own schema of a connection takes beside the contract's: variables as pairs, a mode as octal text, and
    who asked for a secret, which is its scheduler's affair.
    """
    plain = dict(data)
    env = plain.get("env")
    if isinstance(env, list) and all(_is_pair(item) for item in env):
        plain["env"] = [{"name": name, "value": value} for name, value in env]
    for field in ("secret", "configMap"):
        mount = plain.get(field)
        if not isinstance(mount, dict):
            continue
        plain[field] = mount = {name: mount[name] for name in mount if name != "isRequested"}
        mode = mount.get("defaultMode")
        if isinstance(mode, str) and re.fullmatch(r"0?[0-7]{3}", mode):
            mount["defaultMode"] = int(mode, 8)
    return plain


def _is_pair(item: object) -> bool:
    return isinstance(item, list) and len(item) == 2 and all(isinstance(one, str) for one in item)


def _own(document: ConnectionDocument, origin: str, place: str) -> Connection:
    kind: Kind = "wasb" if document.kind == "azure" else document.kind
    tags = document.tags
    if isinstance(tags, str):
        tags = tuple(tag.strip() for tag in tags.split(",") if tag.strip())
    return Connection(
        name=checked_name(document.name, origin, place),
        kind=kind,
        schema=_schema(kind, document.schema, origin, under(place, "schema")),
        secret=checked_mount(document.secret, origin, under(place, "secret")),
        config_map=checked_mount(document.config_map, origin, under(place, "configMap")),
        env=_env(document.env, origin, under(place, "env")),
        options=document.options or Options(),
        description=document.description,
        tags=tags or (),
        annotations=document.annotations or {},
        origin=origin_of(origin, place),
    )


def _schema(kind: Kind, data: object, origin: str, place: str) -> Bucket | VolumeClaim | HostPath:
    if kind == "volume_claim":
        claim = decode(data, VolumeClaim, origin, place)
        check_absolute(claim.mount_path, origin, under(place, "mountPath"))
        return claim
    if kind == "host_path":
        host = decode(data, HostPath, origin, place)
        check_absolute(host.host_path, origin, under(place, "hostPath"))
        check_absolute(host.mount_path, origin, under(place, "mountPath"))
        return host
    bucket = decode(data, Bucket, origin, place)
    check_bucket(kind, bucket.bucket, origin, under(place, "bucket"))
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
