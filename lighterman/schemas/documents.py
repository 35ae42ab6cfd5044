"""Whole schemas, as they are printed."""

from collections.abc import Callable
from typing import Final

from lighterman.schemas.catalog import catalog_definitions
from lighterman.schemas.derive import Schema, reference
from lighterman.schemas.job import job_definitions

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DOCUMENTS: Final[dict[str, tuple[str, Callable[[], dict[str, Schema]]]]] = {
    "catalog": ("Catalog", catalog_definitions),
    "job": ("JobSpec", job_definitions),
}
"""What there is a schema of: the definition that is the whole document, and all of them."""


def schema_of(document: str | None) -> Schema:
    """The schema of one document; of ``None``: both, told apart by what they hold."""
    if document is not None:
        name, definitions = DOCUMENTS[document]
        return {"$schema": DIALECT, **reference(name), "$defs": definitions()}
    merged: dict[str, Schema] = {}
    for _, definitions in DOCUMENTS.values():
        merged |= definitions()
    return {
        "$schema": DIALECT,
        # A job spec may hold anything beside its own blocks, `connections` among these as names: a list,
        # or what holds connections as mappings, is a catalog.
        "if": {
            "anyOf": [
                {"type": "array"},
                {"required": ["persistence"]},
                {
                    "properties": {"connections": {"contains": {"type": "object"}}},
                    "required": ["connections"],
                },
            ]
        },
        "then": reference("Catalog"),
        "else": reference("JobSpec"),
        "$defs": merged,
    }
