"""JSON Schemas (2020-12) of what users write, made of the types that read it."""

from lighterman.schemas.catalog import catalog_definitions
from lighterman.schemas.documents import DOCUMENTS, schema_of
from lighterman.schemas.job import job_definitions

__all__ = ["DOCUMENTS", "catalog_definitions", "job_definitions", "schema_of"]
