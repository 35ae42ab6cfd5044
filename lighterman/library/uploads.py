"""Uploads: a sync of one directory, and one file that is carried."""

import math
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from lighterman.clock import SystemClock
from lighterman.errors import (
    CannotWriteError,
    DeadlineError,
    LightermanError,
    SourceChangedError,
    SourceMissingError,
)
from lighterman.library.line import HALT_SECONDS, PART_THREADS, Line, aside
from lighterman.library.told import Transferred
from lighterman.stores.contract import Key
from lighterman.transfer.retry import Attempts
from lighterman.transfer.tally import Tally
from sidecar.carry import Carrier
from sidecar.globs import Names
from sidecar.journal import Journal
from sidecar.loop import Loop
from sidecar.options import Options
from sidecar.output import REST_SECONDS, Output, opened
from sidecar.place import check_apart
from sidecar.service import Service
from sidecar.states import RelPath

_CHANGED_WAIT_SECONDS: Final = 0.2
"""How long a file that changed while it was sent is left alone."""


def upload_file(line: Line, path: str, key: str) -> Transferred:
    """See :meth:`lighterman.library.Place.upload_file`."""
    tally = Tally()
    stop = threading.Event()
    aside(line, stop, lambda: _upload_file(line, path, key, tally, stop))
    return Transferred.of(tally)


def upload_dir(
    line: Line, path: str, prefix: str, exclude: tuple[str, ...], state: str | None
) -> Transferred:
    """See :meth:`lighterman.library.Place.upload_dir`."""
    root = os.path.realpath(path)
    if not os.path.isdir(root):
        raise SourceMissingError(f"{path} is no directory", hint="upload_file brings a file")
    check_apart(line.connection, prefix, root)
    tally = Tally()
    with _state_directory(state) as directory:
        options = Options(
            root=root,
            prefix=line.key(prefix),
            state=os.path.realpath(directory),
            once=True,
            exclude=exclude,
            workers=line.workers,
        )
        journal = Journal.open(options.state, f"{line.store.destination}/{options.prefix}")
        _sync(line, options, journal, tally, keeps_state=state is not None)
    return Transferred.of(tally)


def _upload_file(line: Line, path: str, key: str, tally: Tally, stop: threading.Event) -> None:
    journal = Journal.in_memory(line.store.destination)
    try:
        _carry(line, _carrier(line, journal, tally, stop), path, key, stop)
    except BaseException:
        _abandon(line, journal)
        raise
    finally:
        journal.close()


def _carry(line: Line, carrier: Carrier, path: str, key: str, stop: threading.Event) -> None:
    clock = line.clock
    is_live = Names().is_live(key)
    directory, name = os.path.split(os.path.realpath(path))
    give_up_at = clock.monotonic() + line.settings.retry_seconds
    while True:
        with opened(directory, RelPath(name)) as found:
            if found is None:
                raise _no_file(path)
            output = Output(RelPath(key), found.descriptor, found.state)
            wait_seconds = 0.0 if is_live else output.rested(clock)
            if not wait_seconds:
                if carrier.carry(output, Key(line.key(key)), live=is_live) is not None:
                    return
                wait_seconds = _CHANGED_WAIT_SECONDS
        if clock.monotonic() + wait_seconds > give_up_at:
            raise SourceChangedError(
                f"{path} changes faster than it is sent",
                hint="upload it when nothing writes to it any more",
                key=key,
            )
        if clock.wait(wait_seconds, stop):
            raise DeadlineError(f"told to stop before {path} rested", key=key)


def _no_file(path: str) -> SourceMissingError:
    if os.path.isdir(path):
        return SourceMissingError(f"{path} is a directory", hint="upload_dir brings it")
    return SourceMissingError(f"there is no file {path}", hint="correct the path")


def _carrier(
    line: Line,
    journal: Journal,
    tally: Tally,
    stop: threading.Event | None = None,
    retry_seconds: float | None = None,
) -> Carrier:
    if retry_seconds is None:
        retry_seconds = line.settings.retry_seconds
    return Carrier(
        line.store,
        journal,
        settings=line.settings,
        clock=line.clock,
        attempts=Attempts(retry_seconds, line.clock, tally, stop),
        pace=line.upload_pace,
        budget=line.budget,
        tally=tally,
        part_threads=PART_THREADS,
    )


@contextmanager
def _state_directory(state: str | None) -> Iterator[str]:
    if state is not None:
        yield state
        return
    try:
        directory = tempfile.TemporaryDirectory(prefix="lighterman-", ignore_cleanup_errors=True)
    except OSError as error:
        raise CannotWriteError(
            f"there is no place for temporary files: {error.strerror}",
            hint="set TMPDIR to a directory that can be written, or give upload_dir a state",
        ) from error
    with directory:
        yield directory.name


def _sync(
    line: Line, options: Options, journal: Journal, tally: Tally, *, keeps_state: bool
) -> None:
    with Loop() as loop:
        service = Service(
            options,
            line.store,
            journal,
            loop=loop,
            settings=line.settings,
            clock=line.clock,
            tally=tally,
            device=os.stat(options.root).st_dev,
            told=None,
            pace=line.upload_pace,
            budget=line.budget,
        )
        try:
            service.run()
        finally:
            service.close()
            loop.dismiss()

            def tidy() -> None:
                service.close()
                loop.close()
                if not keeps_state:
                    _abandon(line, journal)
                journal.close()

            if _is_quiet(service, loop, HALT_SECONDS):
                tidy()
            else:  # nobody waits for who is stuck in a request; what it leaves is still cleared away

                def tidy_later() -> None:
                    _is_quiet(service, loop, math.inf)
                    tidy()

                threading.Thread(target=tidy_later, name="lighterman", daemon=True).start()


def _is_quiet(service: Service, loop: Loop, seconds: float) -> bool:
    """Whether all threads ended what they were at, within ``seconds``."""
    clock = SystemClock()
    until = clock.monotonic() + seconds
    while service.is_stuck and clock.monotonic() < until:
        with suppress(LightermanError):  # the first one is being raised already
            loop.turn(REST_SECONDS)
    return not service.is_stuck


def _abandon(line: Line, journal: Journal) -> None:
    """Of a journal that ends now, drop the uploads that are left open: nobody could go on with them."""
    uploads = journal.open_uploads()
    if not uploads:
        return
    carrier = _carrier(line, journal, Tally(), retry_seconds=HALT_SECONDS)
    for upload in uploads:
        with suppress(LightermanError):  # what was in the way of the upload may be in this one's
            carrier.abandon(upload.path)
