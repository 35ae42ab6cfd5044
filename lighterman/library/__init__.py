"""What programs import: named places to move files to and from, and filesystems for those who read in place."""

from lighterman.library.filesystem import get_fs
from lighterman.library.place import Place, connect
from lighterman.library.told import Entry, Transferred

__all__ = ["Entry", "Place", "Transferred", "connect", "get_fs"]
