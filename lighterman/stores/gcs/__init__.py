"""Google Cloud Storage."""

from lighterman.stores.gcs.store import GcsStore, open_gcs

__all__ = ["GcsStore", "open_gcs"]
