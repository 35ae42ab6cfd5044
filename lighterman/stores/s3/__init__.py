"""S3 and everything that speaks its protocol."""

from lighterman.stores.s3.store import S3Store, open_s3

__all__ = ["S3Store", "open_s3"]
