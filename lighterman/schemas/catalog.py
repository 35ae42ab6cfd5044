"""The catalog's schema: every shape that ``lighterman.connections.shapes`` reads."""

from typing import Final

from lighterman.connections.checks import KWARGS
from lighterman.connections.legacy import FIELDS, LegacyDocument
from lighterman.connections.model import Bucket, HostPath, VolumeClaim
from lighterman.connections.shapes import ConnectionDocument
from lighterman.connections.zenml import ONLY_S3, ZenmlDocument
from lighterman.schemas.derive import (
    ABSOLUTE,
    NOTHING,
    Schema,
    derived,
    has,
    reference,
    replaced,
    ruled,
    when,
)

_NAME: Final[Schema] = {"pattern": r"^(?!\.{1,2}$)(?!file:)(?=[\s\S]*\S)[^/\u0000\n]+$"}
"""As ``checked_name`` has it: no slash, no URI, and a character that can be seen."""
_BUCKET_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}(/[\s\S]*)?$"
_CONTAINER: Final = r"([A-Za-z0-9][A-Za-z0-9._-]{0,254}|\$root|\$web)"
_BUCKETS: Final[dict[str, Schema]] = {
    "s3": {"pattern": rf"^(s3://)?{_BUCKET_NAME}"},
    "gcs": {"pattern": rf"^(gs://)?{_BUCKET_NAME}"},
    "wasb": {
        "pattern": rf"^((wasbs?|abfss?|az)://)?{_CONTAINER}(@[A-Za-z0-9.-]+)?(/[\s\S]*)?$"
        r"|^https://[A-Za-z0-9]{3,24}\.(blob|dfs)\.[A-Za-z0-9.-]+/[\s\S]+$"
    },
}
"""Which kind of place a bucket's text can be; whether its account and container can be is the reader's."""
_KINDS: Final = {"s3": "s3", "gcs": "gcs", "gcp": "gcs", "wasb": "wasb", "azure": "wasb"}
_KWARGS_TEXT: Final[Schema] = {"type": "string", "pattern": r"^\s*\{[\s\S]*\}\s*$"}


def catalog_definitions() -> dict[str, Schema]:
    """The definitions, with the whole document as ``Catalog``."""
    definitions = derived(
        [ConnectionDocument, LegacyDocument, ZenmlDocument, Bucket, VolumeClaim, HostPath]
    )
    definitions["Connection"] = _connection(definitions.pop("ConnectionDocument"))
    definitions["ArtifactStore"] = _zenml(definitions.pop("ZenmlDocument"))
    definitions["PersistenceEntry"] = _legacy(definitions.pop("LegacyDocument"))
    ruled(definitions["Mount"], mountPath=ABSOLUTE)
    replaced(
        definitions["EnvVar"], valueFrom={**NOTHING, "description": "only a kubelet resolves it"}
    )
    ruled(definitions["VolumeClaim"], mountPath=ABSOLUTE)
    ruled(definitions["HostPath"], mountPath=ABSOLUTE, hostPath=ABSOLUTE)
    for name in KWARGS:
        mapping = definitions["Options"]["properties"][name]
        replaced(definitions["Options"], **{name: {"anyOf": [mapping, _KWARGS_TEXT]}})
    definitions["Entry"] = {
        **when(
            {"required": ["flavor"]},
            reference("ArtifactStore"),
        ),
        "else": reference("Connection"),
    }
    definitions["Persistence"] = _persistence()
    definitions["Catalog"] = _catalog()
    return definitions


def _catalog() -> Schema:
    entries: Schema = {"type": "array", "items": reference("Entry")}
    return {
        "title": "Catalog",
        "description": "Connections by their names: a list of them, or a mapping that holds it.",
        "if": {"type": "array"},
        "then": entries,
        "else": {
            "type": "object",
            "properties": {"connections": entries, "persistence": reference("Persistence")},
            "additionalProperties": False,
            "minProperties": 1,
        },
    }


def _connection(definition: Schema) -> Schema:
    definition |= {"title": "Connection", "description": "One named place, and how to log in."}
    ruled(definition, name=_NAME)
    shapes = {
        "volume_claim": reference("VolumeClaim"),
        "host_path": reference("HostPath"),
    }
    definition["allOf"] = [
        when(
            has("kind", {"const": kind}),
            {"properties": {"schema": shapes.get(kind) or _bucket(kind)}},
        )
        for kind in definition["properties"]["kind"]["enum"]
    ]
    return definition


def _bucket(kind: str) -> Schema:
    return {"allOf": [reference("Bucket"), {"properties": {"bucket": _BUCKETS[_KINDS[kind]]}}]}


def _zenml(definition: Schema) -> Schema:
    definition |= {
        "title": "ArtifactStore",
        "description": "An artifact store as ZenML registers it.",
    }
    ruled(definition, name=_NAME)
    for name in KWARGS:
        field = definition["properties"][name]
        field["anyOf"] = [*field["anyOf"], _KWARGS_TEXT]
    flavors = definition["properties"]["flavor"]["enum"]
    rules = [
        when(has("flavor", {"const": flavor}), {"properties": {"path": _BUCKETS[_KINDS[flavor]]}})
        for flavor in flavors
        if flavor in _KINDS
    ]
    local = {"properties": {"path": {"pattern": r"^(/|file:///|file://localhost/)[^\u0000]*$"}}}
    foreign = {"properties": dict.fromkeys(ONLY_S3, NOTHING)}
    definition["allOf"] = [
        *rules,
        when(has("flavor", {"const": "local"}), local),
        when(has("flavor", {"not": {"const": "s3"}}), foreign),
    ]
    return definition


def _legacy(definition: Schema) -> Schema:
    """One of the three places, each with its own fields and no others."""
    fields = definition["properties"]
    description = (
        "One entry of Polyaxon's persistence: a store with its bucket, or a mounted volume."
    )
    return {
        "title": "PersistenceEntry",
        "description": description,
        "oneOf": [
            {
                "type": "object",
                "properties": {
                    name: _legacy_field(fields[name], name) for name in (place, *others)
                },
                "required": [place, others[0]],
                "additionalProperties": False,
                **_legacy_rules(place),
            }
            for place, others in FIELDS.items()
        ],
    }


def _legacy_field(field: Schema, name: str) -> Schema:
    if name in ("mountPath", "hostPath"):
        return {"type": "string", **ABSOLUTE}
    if name in ("store", "existingClaim", "bucket"):  # an absent one says which place it is
        return dict(next(kind for kind in field["anyOf"] if kind != NOTHING))
    return field


def _legacy_rules(place: str) -> Schema:
    if place != "store":
        return {}
    buckets = [
        when(has("store", {"const": store}), {"properties": {"bucket": _BUCKETS[_KINDS[store]]}})
        for store in ("s3", "gcs", "azure")
    ]
    named = {"secret": {"type": "string"}}
    keyed = when(
        has("secretKey", {"type": "string"}), {"properties": named, "required": ["secret"]}
    )
    return {"allOf": [*buckets, keyed]}


def _persistence() -> Schema:
    entries: Schema = {
        "type": "object",
        "propertyNames": _NAME,
        "additionalProperties": reference("PersistenceEntry"),
    }
    return {
        "title": "Persistence",
        "description": "Polyaxon's legacy connections: outputs and data, each entry by its name.",
        "type": "object",
        "properties": {
            # All mappings: entries by their names. Else it is one entry itself.
            "outputs": {
                **when({"additionalProperties": {"type": "object"}}, entries),
                "else": reference("PersistenceEntry"),
                "type": "object",
            },
            "data": entries,
        },
        "additionalProperties": False,
    }
