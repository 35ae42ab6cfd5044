"""From the types that the reader decodes into to their schemas, and rules laid over these."""

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import msgspec

Schema: TypeAlias = dict[str, Any]

ANYTHING: Final[Schema] = {"$comment": "anything"}
"""msgspec takes an empty schema of a custom type for none at all."""
NOTHING: Final[Schema] = {"type": "null"}
TEXT: Final[Schema] = {"type": "string", "minLength": 1}
ABSOLUTE: Final[Schema] = {"pattern": "^/[^\\u0000]*$"}
"""A path that begins with a slash; beside a type, so that an absent one stays absent."""


def derived(types: Sequence[type]) -> dict[str, Schema]:
    """The schemas of these structs and of all that they hold, by their names."""
    _, definitions = msgspec.json.schema_components(
        types, schema_hook=_custom, ref_template="#/$defs/{name}"
    )
    for definition in definitions.values():
        # Docstrings are for who reads the code; the first line tells a user as much.
        if "description" in definition:
            definition["description"] = definition["description"].split("\n")[0].replace("``", "")
        if not definition.get("required"):
            definition.pop("required", None)
    return definitions


def ruled(definition: Schema, **rules: Schema) -> None:
    """
    Lay a further rule over each of these fields, which must be there: a renamed field shows here, and
    not as a rule that holds for nothing.
    """
    for name, rule in rules.items():
        field = definition["properties"][name]
        field["allOf"] = [*field.get("allOf", []), rule]


def replaced(definition: Schema, **fields: Schema) -> None:
    """Put another schema in the place of each of these fields, which must be there."""
    for name, schema in fields.items():
        definition["properties"][name] = {
            **{key: definition["properties"][name][key] for key in ("default",) if key in schema},
            **schema,
        }


def when(condition: Schema, then: Schema) -> Schema:
    """A rule for those objects that fit ``condition``."""
    return {"if": condition, "then": then}


def has(name: str, value: Schema) -> Schema:
    """The condition that a field is there and fits."""
    return {"properties": {name: value}, "required": [name]}


def reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _custom(type_: type) -> Schema:
    # The only other custom type is Secret, which is written as text.
    return dict(ANYTHING) if type_ is object else {"type": "string"}
