"""Keys of S3: as every object store's."""

from lighterman.stores.keys import fits_xml, obstore_takes, quoted

__all__ = ["fits_xml", "obstore_takes", "quoted"]
