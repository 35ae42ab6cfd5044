"""What one command syncs: its outputs at once until main's end, and after that, where CMD failed, once more."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Final

from lighterman.transfer.budget import Budget
from sidecar.ending import MainsEnd
from sidecar.journal import Journal
from sidecar.opened import Opened, close_all
from sidecar.service import Service
from sidecar.several import Several, StartedOnce, shared_by
from sidecar.status.address import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from socket import socket

    from lighterman.command import Context
    from sidecar.child import Child
    from sidecar.loop import Loop
    from sidecar.options import Options
    from sidecar.status.board import Board
    from sidecar.watched_process import WatchedProcess

LEAVE_SECONDS: Final = 5.0
"""How long the report may take once the end is decided while a thread is stuck in a request."""
LEAST_LEAVE_SECONDS: Final = 0.2


class Syncs:
    """Outputs that share the thread that decides, main's end, the memory and what operators see."""

    def __init__(
        self, opened: Sequence[Opened], loop: Loop, context: Context, listener: socket | None
    ) -> None:
        self._opened = list(opened)
        self._loop = loop
        self._context = context
        self._budget = Budget(context.settings.memory_bytes)
        self._end: MainsEnd | None = None
        self._services: list[Service] = []
        self._boards: list[Board] = []
        self._hide = shown(listener, self._boards)

    def go(self, child: Child | None, process: WatchedProcess | None) -> None:
        """Until main's end and all is in the buckets; raises what went wrong."""
        context, opened = self._context, self._opened
        several = len(opened) > 1
        main = StartedOnce(child, len(opened)) if child and several else child
        self._end = MainsEnd(
            opened[0].options,
            context.clock,
            main,
            loop=self._loop,
            process=process,
            states=[output.options.state for output in opened],
        )
        if not several:
            self._built(opened[0], told=context.stop, end=self._end).run()
            return
        services = [
            self._built(output, told=None, end=self._end, **shared)
            for output, shared in shared_by(opened)
        ]
        Several(services, loop=self._loop, end=self._end, told=context.stop).run()

    def go_again(self, options: Options, state: str) -> None:
        """All that the only output has goes as ``options`` say, with the journal in ``state``."""
        (first,) = self._opened
        journal = Journal.open(state, f"{first.store.destination}/{options.prefix}")
        output = first._replace(options=options, journal=journal)
        self._opened.append(output)
        self._built(output, told=None, end=self._end).run()

    def close(self, code: int) -> None:
        """Let go of everything, for a process that ends with ``code``."""
        self._hide()
        for service in self._services:
            service.close()
        if any(service.is_stuck for service in self._services):
            _leave_soon(code, self._leave_seconds())
        else:
            close_all(self._opened)
        for hold in {id(output.hold): output.hold for output in self._opened}.values():
            hold.release()

    def _built(self, output: Opened, **shared: Any) -> Service:
        context = self._context
        service = Service(
            output.options,
            output.store,
            output.journal,
            loop=self._loop,
            settings=context.settings,
            clock=context.clock,
            tally=context.tally,
            device=output.hold.device,
            budget=self._budget,
            **shared,
        )
        self._services.append(service)
        self._boards.append(service.board)
        return service

    def _leave_seconds(self) -> float:
        """Half of what is left until the kill, where one is to come."""
        ending = self._end.ending if self._end else None
        if ending is None:
            return LEAVE_SECONDS
        left_seconds = ending.began + ending.grace_seconds - self._context.clock.monotonic()
        return min(LEAVE_SECONDS, max(LEAST_LEAVE_SECONDS, left_seconds / 2))


def _leave_soon(code: int, seconds: float) -> None:
    """
    A thread that is stuck in a request can't be stopped, and may keep the interpreter from ending: the
    process ends without it, once there was time to write the report.
    """

    def leave() -> None:
        threading.Event().wait(seconds)
        os._exit(code)

    threading.Thread(target=leave, daemon=True).start()
