"""
Listings that run ahead of the plan, several at once. One that is long is cut in two again and again, so that
several threads list it; whoever reads it sees one listing in the order of its keys.

A cut is made between two keys that are there: a thread asks for what comes after some place, and the key that
is answered first becomes the end of the part before it and the begin of its own. The part before is done when it
comes to just that key. So nothing can be lost or come twice, wherever the cuts are.
"""

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from operator import attrgetter, lt
from typing import Final, NamedTuple, Self

import msgspec

from initializer import splits
from initializer.blocks import Blocks, Place, packed, unpacked
from initializer.listing import UnsortedError
from initializer.splits import Seen
from lighterman.errors import LightermanError
from lighterman.stores.contract import Listed, Store
from lighterman.transfer.pace import Pace
from lighterman.transfer.retry import Attempts

MOST_LISTERS: Final = 16
"""Threads at most. With 100 ms a page of 1,000 keys they bring as much as one interpreter can plan."""
MOST_HELD_KEYS: Final = 32_000
"""In memory beside the plan: some 12 MB."""
_RESUME_KEYS: Final = MOST_HELD_KEYS // 2
"""Who waits for room goes on at so many, and not page by page: each change of threads takes its time."""
_LEAST_PAGE_KEYS: Final = 50
"""What a page counts at least: it takes memory without a key too."""
_LEAST_WIDTH_PAGES: Final = 2.0
"""What is guessed to have less pages isn't cut."""
_FREE_MISSES: Final = 4
_PAGES_PER_MISS: Final = 4
"""Requests that may find nothing: four, and one more for so many pages."""

_key = attrgetter("key")


class Listing(NamedTuple):
    """What is to be listed."""

    store: Store
    prefix: str


class _Whole:
    """One listing, with what was learnt while it was cut."""

    __slots__ = ("can_split", "head", "misses", "pace", "pages", "prefix", "store")

    def __init__(self, listing: Listing, pace: Pace) -> None:
        self.store, self.prefix = listing
        self.pace = pace
        self.can_split = listing.store.lists_after
        self.pages = self.misses = 0
        self.head = _Part(self)

    def may_split(self) -> bool:
        return (
            self.can_split
            and self.pages > 1
            and self.misses < _FREE_MISSES + self.pages // _PAGES_PER_MISS
        )


class _Part:
    """The keys of a listing after ``given``, up to those of the next part."""

    __slots__ = (
        "before",
        "first",
        "given",
        "horizon",
        "is_done",
        "is_full",
        "is_splitting",
        "next",
        "pages",
        "source",
        "until",
        "whole",
    )

    def __init__(self, whole: _Whole) -> None:
        self.whole = whole
        self.given = ""
        """The last key that came, or the place that it begins after."""
        self.before = ""
        """The last key since the store was asked anew."""
        self.first = ""
        """The first key of the last page; empty: none came."""
        self.until: str | None = None
        """The first key of the next part."""
        self.horizon: str | None = None
        """Nothing is known to be between it and ``until``."""
        self.next: _Part | None = None
        self.source: Iterator[list[Listed]] | None = None
        self.pages: deque[list[Listed] | Place] = deque()
        self.is_full = False
        """Whether keys are known at the horizon."""
        self.is_done = self.is_splitting = False

    def seen(self) -> Seen:
        return Seen(self.first, self.given, self.horizon, self.is_full)


class Ahead:
    """
    ``listings``, begun in this order and read by one thread with ``pages``. What comes before its turn is held in
    memory, and beyond ``MOST_HELD_KEYS`` in a file in ``directory`` while the reader waits for something else.
    """

    def __init__(
        self,
        listings: Sequence[Listing],
        attempts: Attempts,
        directory: str,
        *,
        most_listers: int = MOST_LISTERS,
    ) -> None:
        paces = {id(listing.store): Pace(most_listers) for listing in listings}
        self._wholes = [_Whole(listing, paces[id(listing.store)]) for listing in listings]
        self._attempts = attempts
        self._file = Blocks(directory)
        self._most_listers = most_listers
        self._changed = threading.Condition()
        self._unbegun = deque(whole.head for whole in self._wholes)
        self._active: list[_Part] = []
        self._listers = 0
        self._held_keys = 0
        self._awaited: _Part | None = None
        self._error: BaseException | None = None
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing more is listed; a request under way ends by itself."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._file.close()

    def pages(self, number: int) -> Iterator[list[Listed]]:
        """
        The pages of one of the listings, in the byte order of the keys. Raises what any of the listers met:
        ``UnsortedError`` where keys come in another order, or parts don't meet.
        """
        with self._changed:
            for _ in range(min(self._most_listers, len(self._unbegun)) - self._listers):
                self._hire(None)
        part: _Part | None = self._wholes[number].head
        while part is not None:
            page = self._next_page(part)
            if page is None:
                part = part.next
            else:
                yield page

    def _next_page(self, part: _Part) -> list[Listed] | None:
        with self._changed:
            if not (part.pages or part.is_done):
                self._awaited = part
                self._changed.notify_all()
                self._hire_for_a_cut()
                self._changed.wait_for(lambda: part.pages or part.is_done or self._error)
                self._awaited = None
            if self._error:
                raise self._error
            if not part.pages:
                return None
            page = part.pages.popleft()
            if isinstance(page, list):
                before = self._held_keys
                self._held_keys -= _weight(page)
                if self._held_keys <= _RESUME_KEYS < before:
                    self._changed.notify_all()
                return page
        return [Listed(*row) for row in unpacked(self._file.take(page))]

    def _hire_for_a_cut(self) -> None:
        if self._listers < self._most_listers:
            cut = self._next_cut()
            if cut:
                self._hire(cut)

    def _hire(self, cut: "tuple[_Part, str] | None") -> None:
        self._listers += 1
        threading.Thread(target=self._work, args=(cut,), name="lister", daemon=True).start()

    def _work(self, cut: "tuple[_Part, str] | None") -> None:
        try:
            while (part := self._split(*cut) if cut else self._take()) is not None or cut:
                if part is not None:
                    self._list(part)
                cut = self._next_cut() if self._is_starving() else None
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that reads
            with self._changed:
                self._error = self._error or error
        finally:
            with self._changed:
                self._listers -= 1
                self._changed.notify_all()

    def _take(self) -> _Part | None:
        with self._changed:
            if self._is_closed or not self._unbegun:
                return None
            part = self._unbegun.popleft()
            self._active.append(part)
            return part

    def _list(self, part: _Part) -> None:
        what = f"list {part.whole.prefix or '/'}"
        is_over = False
        while not is_over and not self._is_closed:
            page = self._attempts.call(what, lambda: self._asked(part))
            is_over = self._deliver(part, page)

    def _asked(self, part: _Part) -> list[Listed] | None:
        """The next page; after trouble, the store is asked anew for what comes after the last key."""
        if self._is_closed:
            return None
        whole = part.whole
        if part.source is None:
            if whole.store.lists_after and part.given:
                part.before = part.given
                part.source = whole.store.pages(whole.prefix, after=part.given)
            else:
                part.before = ""
                part.source = whole.store.pages(whole.prefix)
        try:
            with whole.pace.slot():
                return next(part.source, None)
        except LightermanError:
            part.source = None
            raise

    def _deliver(self, part: _Part, page: list[Listed] | None) -> bool:
        """Hand a page over, as far as it is this part's; whether that was the last one."""
        with self._changed:
            if self._is_closed:
                return True
            was_starving, is_over = self._is_starving(), page is None
            fresh = _fresh(part, page or [])
            if part.until is not None and fresh and fresh[-1].key >= part.until:
                end = bisect_left(fresh, part.until, key=_key)
                if fresh[end].key != part.until:
                    raise UnsortedError(part.until)
                del fresh[end:]
                is_over = True
            elif part.until is not None and is_over:
                raise UnsortedError(part.until)
            part.whole.pages += 1
            if fresh:
                part.first, part.given = fresh[0].key, fresh[-1].key
                self._hand_over(part, fresh)
            if is_over:
                part.is_done = True
                self._active.remove(part)
            self._changed.notify_all()
            if was_starving:
                self._hire_for_a_cut()
        return is_over

    def _hand_over(self, part: _Part, page: list[Listed]) -> None:
        weight = _weight(page)
        if self._held_keys + weight > MOST_HELD_KEYS:
            self._changed.wait_for(
                lambda: self._held_keys <= _RESUME_KEYS or self._is_starving() or self._is_closed
            )
        if self._held_keys + weight <= MOST_HELD_KEYS or (self._awaited is part and not part.pages):
            self._held_keys += weight
            part.pages.append(page)
            return
        self._changed.release()
        try:
            place = self._file.write(packed([msgspec.structs.astuple(one) for one in page]))
        finally:
            self._changed.acquire()
        part.pages.append(place)

    def _is_starving(self) -> bool:
        """Whether the reader waits for a page that isn't there yet."""
        return self._awaited is not None and not self._awaited.pages

    def _next_cut(self) -> "tuple[_Part, str] | None":
        """What to cut, once no whole listing waits for its begin."""
        with self._changed:
            if self._unbegun or self._is_closed:
                return None
            cut = self._cut()
            if cut:
                cut[0].is_splitting = True
            return cut

    def _cut(self) -> tuple[_Part, str] | None:
        """The part of which least is known, and where to cut it."""
        best: _Part | None = None
        widest = _LEAST_WIDTH_PAGES
        for part in self._active:
            if part.is_splitting or not part.first or not part.whole.may_split():
                continue
            width = splits.width(part.seen())
            if width >= widest:
                best, widest = part, width
        if best is None:
            return None
        place = splits.place(best.whole.prefix, best.seen())
        return (best, place) if place else None

    def _split(self, part: _Part, place: str) -> _Part | None:
        """What of ``part`` is behind ``place``, as a part of its own; ``None`` where that is nothing."""
        whole = part.whole
        source = whole.store.pages(whole.prefix, after=place)
        page: list[Listed] | None = None
        is_answered = False
        with suppress(LightermanError), whole.pace.slot():  # whoever lists the part meets it too
            page, is_answered = next(source, None), True
        with self._changed:
            part.is_splitting = False
            begin = page[0].key if page else None
            if begin is not None and begin <= place:
                whole.can_split = False  # the store doesn't know the question
            is_empty = begin is None or (part.until is not None and begin >= part.until)
            if is_answered and is_empty and not part.is_done:
                part.horizon, part.is_full = place, False
            if is_empty or part.is_done or begin is None or begin <= part.given or begin <= place:
                whole.misses += 1
                return None
            new = _Part(whole)
            new.given = new.before = place
            new.until, new.horizon, new.next = part.until, part.horizon, part.next
            new.source = source
            part.until, part.horizon, part.next = begin, place, new
            new.is_full, part.is_full = part.is_full, True
            self._active.append(new)
        return None if self._deliver(new, page) else new


def _fresh(part: _Part, page: list[Listed]) -> list[Listed]:
    """What of a page didn't come before. ``UnsortedError`` when the keys don't come in their order."""
    keys = [part.before, *map(_key, page)]
    if not all(map(lt, keys, keys[1:])) and keys != sorted(keys):
        raise UnsortedError(part.before)
    part.before = keys[-1]
    return (
        page if not page or keys[1] > part.given else [one for one in page if one.key > part.given]
    )


def _weight(page: list[Listed]) -> int:
    return max(len(page), _LEAST_PAGE_KEYS)
