"""Local volumes: a directory tree as a store."""

from lighterman.stores.volume.store import VolumeStore, open_volume

__all__ = ["VolumeStore", "open_volume"]
