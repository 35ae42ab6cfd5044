"""Lighterman carries files between a pod and its buckets."""

from typing import TYPE_CHECKING

from lighterman.errors import ExitCode, LightermanError

if TYPE_CHECKING:
    from lighterman.library import Entry, Place, Transferred, connect, get_fs

__version__ = "0.1.0"
__all__ = [
    "Entry",
    "ExitCode",
    "LightermanError",
    "Place",
    "Transferred",
    "__version__",
    "connect",
    "get_fs",
]


def __getattr__(name: str) -> object:
    # The command line imports this package too, and shouldn't wait for the library.
    if name in __all__:
        from lighterman import library

        return getattr(library, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
