"""The job spec's schema: Lighterman's own blocks of it, strictly, and the rest as it comes."""

from typing import Final

from lighterman.flags import MOST_BYTES
from lighterman.jobspec import InitDocument, Output
from lighterman.schemas.derive import (
    NOTHING,
    TEXT,
    Schema,
    derived,
    has,
    reference,
    replaced,
    ruled,
    when,
)

_URI: Final[Schema] = {"type": "string", "pattern": "://|^file:"}
"""As ``is_uri`` has it."""
_NOT_BLANK: Final[Schema] = {"pattern": r"\S"}
_GLOB: Final[Schema] = {"not": {"enum": ["", "/", "!", "!/"]}}
"""As ``Globs`` has it: what is left without these says something."""
_SIZE: Final[Schema] = {"pattern": r"^\s*(\d+(\.\d+)?|\.\d+)\s*[kKmMgGtT]?[iI]?[bB]?\s*$"}
"""As ``flags.size`` has it."""
_OWN: Final = ("init", "connections", "outputs")


def job_definitions() -> dict[str, Schema]:
    """The definitions, with the whole document as ``JobSpec``."""
    definitions = derived([InitDocument, Output])
    definitions["InitEntry"] = _entry(definitions.pop("InitDocument"))
    definitions["Artifacts"] = _artifacts(definitions.pop("ArtifactsDocument"))
    ruled(definitions["FromTo"], **{"from": TEXT, "to": TEXT})
    ruled(definitions["Output"], connection=_NOT_BLANK, path=TEXT)
    definitions["Shard"] = _shard(definitions.pop("ShardDocument"))
    definitions.pop("ShardDocument", None)
    definitions["Cache"] = _cache(definitions.pop("CacheDocument"))
    blocks = _blocks()
    definitions["JobSpec"] = {
        "title": "JobSpec",
        "description": "What of a job spec is Lighterman's, at the top or under run; the rest is others'.",
        "type": "object",
        "properties": {
            **blocks,
            "run": {"anyOf": [{"type": "object", "properties": blocks}, NOTHING]},
        },
        "allOf": [{"not": _in_both(name)} for name in _OWN],
    }
    return definitions


def _entry(definition: Schema) -> Schema:
    definition |= {"title": "InitEntry", "description": "One item of the init block."}
    ruled(definition, connection=_NOT_BLANK, path={"if": {"type": "string"}, "then": TEXT})
    definition["properties"]["artifacts"]["anyOf"][0] = reference("Artifacts")
    definition["properties"]["shard"]["anyOf"][0] = reference("Shard")
    for name in ("include", "exclude"):
        listed, text, nothing = definition["properties"][name]["anyOf"]
        some = {**listed, "items": {**text, **_GLOB}, "minItems": 1}
        definition["properties"][name]["anyOf"] = [some, {**text, **_GLOB}, nothing]
    text, _, nothing = definition["properties"]["cache"]["anyOf"]
    replaced(definition, cache={"anyOf": [{**text, **TEXT}, reference("Cache"), nothing]})
    named: Schema = {"properties": {"path": {"type": "string"}}, "required": ["path"]}
    definition["allOf"] = [when(has("connection", _URI), named)]
    return definition


def _shard(definition: Schema) -> Schema:
    definition |= {"title": "Shard", "description": "This pod's part of an entry."}
    number: Schema = {
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": 999_999_999},
            {
                "type": "string",
                "pattern": r"^([0-9]{1,9}|\$([A-Za-z0-9_]+|\{[A-Za-z0-9_]+\}|\([A-Za-z0-9_]+\)))$",
            },
        ]
    }
    replaced(definition, index=number, count=number)
    return definition


def _cache(definition: Schema) -> Schema:
    definition |= {
        "title": "Cache",
        "description": "A node's directory of what was fetched before.",
    }
    ruled(definition, path=TEXT)
    ruled(definition, size={"if": {"type": "string"}, "then": _SIZE})
    ruled(
        definition, size={"if": {"type": "integer"}, "then": {"minimum": 0, "maximum": MOST_BYTES}}
    )
    return definition


def _artifacts(definition: Schema) -> Schema:
    definition |= {"title": "Artifacts", "description": "What of a connection is declared."}
    for name in ("dirs", "files"):
        listed, _ = definition["properties"][name]["anyOf"]
        text, pair, mapping = listed["items"]["anyOf"]
        pair["prefixItems"] = [TEXT, TEXT]
        listed["items"]["anyOf"] = [{**text, **TEXT}, pair, mapping]
    ruled(definition, workers={"if": {"type": "integer"}, "then": {"minimum": 1}})
    absent: Schema = {"properties": {"dirs": NOTHING, "files": NOTHING}}
    some: Schema = {"type": "array", "minItems": 1}
    definition["anyOf"] = [
        has("dirs", some),
        has("files", some),
        {**absent, "allOf": [has("workers", {"type": "integer"})]},
    ]
    return definition


def _blocks() -> dict[str, Schema]:
    outputs = reference("Output")
    return {
        "init": {"anyOf": [{"type": "array", "items": reference("InitEntry")}, NOTHING]},
        "connections": {"anyOf": [{"type": "array", "items": {"type": "string"}}, NOTHING]},
        "outputs": {"anyOf": [outputs, {"type": "array", "items": outputs}, NOTHING]},
    }


def _in_both(name: str) -> Schema:
    said = has(name, {"not": NOTHING})
    return {"allOf": [said, has("run", {"type": "object", **said})]}
