"""What is the same for every store of writes under a condition."""

from collections.abc import Iterator
from contextlib import contextmanager

from lighterman.errors import ConditionFailedError, SourceMissingError
from lighterman.stores.contract import ETag


@contextmanager
def of_target(replacing: ETag | None) -> Iterator[None]:
    """
    A write that is to replace an object, and finds none, is said so by some stores with a 404: it is a
    condition that doesn't hold all the same.
    """
    try:
        yield
    except SourceMissingError as error:
        if replacing is None:
            raise
        raise ConditionFailedError(
            f"{error.key!r} is gone, where an object was to be replaced",
            connection=error.connection,
            key=error.key,
        ) from error
