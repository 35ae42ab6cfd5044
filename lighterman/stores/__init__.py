"""Moving bytes to and from one place: the contract, and one package for each kind of place."""

from lighterman.stores.opening import open_store

__all__ = ["open_store"]
