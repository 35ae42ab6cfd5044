"""Which objects of a declared directory are wanted: those that ``include`` names, less those of ``exclude``."""

from collections.abc import Iterable, Iterator, Sequence

from lighterman.globs import Globs
from lighterman.stores.contract import Listed


class Choice:
    """
    The globs of one declared directory, matched against paths below it. Compiled once; fed a listing in its
    order, it asks about each directory once. Nothing that it leaves out is looked at any further.
    """

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self._include = Globs(include)
        self._exclude = Globs(exclude)
        self._directory = ""
        self._is_directory_included = not self._include
        self._is_directory_excluded = False
        self.left_out = 0
        """How many objects were left out of the listing that was filtered last."""

    def __bool__(self) -> bool:
        """Whether anything can be left out."""
        return bool(self._include) or bool(self._exclude)

    def wants(self, path: str) -> bool:
        """
        Whether the object at ``path`` is wanted; a directory's marker ends with a slash, and the empty path
        is the marker of the declared directory itself, which is what holds the rest.
        """
        if not path:
            return True
        is_marker = path.endswith("/")
        path = path.removesuffix("/")
        self._enter(path[: max(0, path.rfind("/"))])
        if self._is_directory_excluded:
            return False
        if not self._is_directory_included and not self._include.matches(path, directory=is_marker):
            return False
        return not self._exclude.matches(path, directory=is_marker)

    def of(self, pages: Iterable[list[Listed]], prefix: str) -> Iterator[list[Listed]]:
        """What is wanted of a listing of ``prefix``, in its order."""
        self.left_out = 0
        cut = len(prefix)
        for page in pages:
            chosen = [listed for listed in page if self.wants(listed.key[cut:])]
            self.left_out += len(page) - len(chosen)
            yield chosen

    def _enter(self, directory: str) -> None:
        if directory == self._directory:
            return
        self._directory = directory
        self._is_directory_included = not self._include or (
            bool(directory) and self._include.covers(directory, directory=True)
        )
        self._is_directory_excluded = bool(directory) and self._exclude.covers(
            directory, directory=True
        )
