"""Destinations that take two names for one: filesystems without case, or with one form of Unicode."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from initializer.plan import Action, MakeDirectory, Refuse
from lighterman.errors import UntrustedDataError
from lighterman.stores.contract import Key

CLASH: Final = "the destination's filesystem doesn't tell its name from another's"


class Folding(NamedTuple):
    """What a directory's filesystem doesn't tell apart."""

    case: bool = False
    unicode: bool = False

    def of(self, path: str) -> str:
        """The same for two paths that are one there."""
        import unicodedata

        folded = unicodedata.normalize("NFC", path) if self.unicode else path
        return folded.casefold() if self.case else folded


def folding_of(directory: str) -> Folding:
    """Found out by one file, made in ``directory`` and taken away. Nothing, where none can be made."""
    probe = f"{directory}/probe-e\u0301.tmp"
    with contextlib.suppress(OSError):
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        try:
            return Folding(
                case=os.path.lexists(f"{directory}/PROBE-e\u0301.tmp"),
                unicode=os.path.lexists(f"{directory}/probe-\u00e9.tmp"),
            )
        finally:
            os.unlink(probe)
    return Folding()


class Apart:
    """
    Sees the actions of one plan pass, and finds those that would take the place of another under a second
    spelling of its name. Takes memory for each path, and is asked only where a filesystem folds names.
    """

    def __init__(self, roots: Sequence[str], foldings: Sequence[Folding]) -> None:
        tops = [(f"{root}/", folding) for root, folding in zip(roots, foldings, strict=True)]
        self._tops = sorted(tops, key=_length, reverse=True)
        self._files: set[int] = set()
        self._directories: set[int] = set()

    def checked(self, actions: Iterable[Action]) -> Iterator[Action]:
        """The same actions, with refusals in the place of those that clash."""
        for action in actions:
            if isinstance(action, Refuse):
                yield action
                continue
            top, folding = next(one for one in self._tops if action.path.startswith(one[0]))
            folded = folding.of(action.path)
            key = Key(action.path[len(top) :]) if isinstance(action, MakeDirectory) else action.key
            yield Refuse(key, CLASH, UntrustedDataError) if self._clashes(folded) else action

    def _clashes(self, folded: str) -> bool:
        path = folded.rstrip("/")
        # Hashes of 64 bits stand for the paths: a tenth of the memory.
        mark = hash(path)
        directories = [hash(path[:at]) for at, char in enumerate(path) if char == "/"]
        is_directory = folded.endswith("/")
        if mark in self._files or not self._files.isdisjoint(directories):
            return True
        if not is_directory and mark in self._directories:
            return True
        self._directories.update(directories)
        (self._directories if is_directory else self._files).add(mark)
        return False


def _length(top: tuple[str, Folding]) -> int:
    return len(top[0])
