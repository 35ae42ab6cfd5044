"""Declared files, looked at one by one without a listing: what a short run waits for."""

import threading
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple, TypeVar

from initializer.entries import Entry
from initializer.source import Source
from lighterman.errors import CredentialsError, SourceMissingError
from lighterman.stores.contract import Key, Listed, Stat
from lighterman.transfer.retry import Attempts

T = TypeVar("T")

_MOST_LOOKERS: Final = 32


class Sought(NamedTuple):
    """One object that is looked for by its key."""

    source: Source
    key: Key
    name: str
    """As it was declared."""
    target: str
    may_be_prefix: bool = False
    """Whether it may as well be a prefix; then it isn't missing without an object."""

    @classmethod
    def place(cls, source: Source, entry: Entry) -> "Sought":
        """What a connection itself stands for: its whole root, or the object that a URI names."""
        key = source.key("")
        is_prefix = not key or "://" not in entry.connection or entry.connection.endswith("/")
        return cls(
            source,
            Key("") if is_prefix else key,
            entry.connection,
            key.rpartition("/")[2],
            may_be_prefix=True,
        )


def look_at(
    sought: Iterable[tuple[T, Sought]], attempts: Attempts
) -> list[tuple[T, Sought, Listed | None]]:
    """Each with its object, or ``None`` where there is none. Raises the first error of another kind."""
    pending = deque(enumerate(sought))
    found: list[tuple[T, Sought, Listed | None] | None] = [None] * len(pending)
    errors: list[BaseException] = []

    def work() -> None:
        while pending and not errors:
            try:
                number, (owner, one) = pending.popleft()
            except IndexError:
                return
            try:
                found[number] = owner, one, _look(one, attempts)
            except BaseException as error:  # noqa: BLE001 - raised again by the thread that asked
                errors.append(error)

    lookers = [
        threading.Thread(target=work, daemon=True)
        for _ in range(min(_MOST_LOOKERS, len(pending)) - 1)
    ]
    for looker in lookers:
        looker.start()
    work()
    for looker in lookers:
        looker.join()
    if errors:
        raise errors[0]
    return [one for one in found if one is not None]


def _look(one: Sought, attempts: Attempts) -> Listed | None:
    if not one.key:
        return None

    def stat() -> Stat:
        with one.source.pace.slot():
            return one.source.store.stat(one.key)

    try:
        told = attempts.call(f"stat {one.key}", stat)
    except SourceMissingError:
        return None
    except CredentialsError:
        if one.may_be_prefix:
            return None  # who may only list answers so; if nothing is allowed, the listing says it
        raise
    return Listed(
        told.key,
        told.size_bytes,
        told.etag,
        told.modified_seconds,
        archived=told.archived,
        checksum=told.checksum,
    )
