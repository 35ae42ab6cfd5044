"""Work in a thread of its own: a thread that is inside a store's request hears no signal."""

import threading
from collections.abc import Callable

from lighterman.clock import Clock
from lighterman.errors import DeadlineError

_LOOK_SECONDS = 0.5


def in_a_thread(
    work: Callable[[], None],
    *,
    name: str,
    clock: Clock,
    stop: threading.Event,
    halt_seconds: float,
    hint: str,
) -> None:
    """
    ``work()``, which ends soon once ``stop`` is set. If it is stuck for ``halt_seconds`` more, it is left
    behind, with ``DeadlineError`` and its ``hint``.

    An exception that comes from without (Ctrl-C, or what a signal handler of the program raises) sets
    ``stop``, and goes on when the work has ended, or is left behind.
    """
    ended = threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)
        finally:
            ended.set()

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
        while not clock.wait(_LOOK_SECONDS, ended) and not stop.is_set():
            pass
    except BaseException:
        stop.set()
        clock.wait(halt_seconds, ended)
        raise
    if not clock.wait(halt_seconds, ended):
        raise DeadlineError("told to stop while a request hung", hint=hint)
    if errors:
        raise errors[0]
