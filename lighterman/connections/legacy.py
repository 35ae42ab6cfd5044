"""Polyaxon's legacy ``persistence``, as connections."""

from typing import Any, Final, Literal

import msgspec

from lighterman.connections.checks import check_absolute, check_bucket, checked_name, origin_of
from lighterman.connections.model import Bucket, Connection, HostPath, Kind, Mount, VolumeClaim
from lighterman.strict import decode, fail, suggestion, under

FIELDS: Final = {
    "store": ("bucket", "secret", "secretKey"),
    "hostPath": ("mountPath", "readOnly"),
    "existingClaim": ("mountPath", "readOnly"),
}
"""What says which kind of place an entry is, and what goes with it; the first of these it needs."""


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


def legacy_connections(data: object, origin: str) -> list[Connection]:
    members = ("outputs", "data")
    groups = decode(data, dict[str, dict[str, object]], origin, "persistence")
    found: list[Connection] = []
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
        for field, value in zip(
            FIELDS, (entry.store, entry.host_path, entry.existing_claim), strict=True
        )
        if value is not None
    ]
    if len(given) != 1:
        said = f"{' and '.join(given)} together" if given else "no place in it"
        fail(origin, place, said, "give one of store, hostPath and existingClaim")
    _check_legacy_fields(data, (given[0], *FIELDS[given[0]]), origin, place)
    kind, schema = _legacy_schema(entry, origin, place)
    mount = None
    if entry.secret is not None:
        mount = Mount(name=entry.secret, items=(entry.secret_key,) if entry.secret_key else None)
    elif entry.secret_key is not None:
        fail(origin, under(place, "secretKey"), "there is no secret beside it", "give secret too")
    return Connection(
        name=checked_name(name, origin, place),
        kind=kind,
        schema=schema,
        secret=mount,
        origin=origin_of(origin, place),
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
        check_bucket(kind, bucket, origin, under(place, "bucket"))
        return kind, Bucket(bucket=bucket)
    mount_path = entry.mount_path or ""
    check_absolute(mount_path, origin, under(place, "mountPath"))
    if entry.existing_claim is not None:
        return "volume_claim", VolumeClaim(
            volume_claim=entry.existing_claim, mount_path=mount_path, read_only=entry.read_only
        )
    host_path = entry.host_path or ""
    check_absolute(host_path, origin, under(place, "hostPath"))
    return "host_path", HostPath(
        host_path=host_path, mount_path=mount_path, read_only=entry.read_only
    )
