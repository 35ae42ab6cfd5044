"""Questions to the loop that decides, from other threads: it alone knows its state."""

import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from sidecar.loop import Loop

T = TypeVar("T")

PATIENCE_SECONDS: Final = 5.0
"""A turn of the loop takes milliseconds; one that doesn't end in that time is stuck."""


class NoAnswerError(Exception):
    """The loop didn't turn in time."""


class Answer(Generic[T]):
    """What will be known once the loop has turned."""

    def __init__(self) -> None:
        self._is_there = threading.Event()
        self._value: list[T] = []
        self._error: BaseException | None = None

    def give(self, value: T) -> None:
        """In the loop's thread: this is it."""
        self._value.append(value)
        self._is_there.set()

    def fail(self, error: BaseException) -> None:
        """There is none, for this reason."""
        self._error = error
        self._is_there.set()

    def wait(self, seconds: float) -> T:
        """The answer; raises ``NoAnswerError`` if it isn't there in time."""
        if not self._is_there.wait(seconds):
            raise NoAnswerError(f"no answer within {seconds:g} s")
        if self._error:
            raise self._error
        return self._value[0]


def ask(loop: Loop, question: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
    """``question()`` in the loop's thread. What it raises is raised here, never there."""
    answer: Answer[T] = Answer()

    def reply() -> None:
        try:
            answer.give(question())
        except Exception as error:  # noqa: BLE001 - who asks may be told of a bug, who decides goes on
            answer.fail(error)

    loop.post(reply)
    return answer.wait(seconds)
