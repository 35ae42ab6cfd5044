"""The commands ``sidecar``, ``run`` and ``sync``: their flags, and what they come to."""

import os
import threading
from argparse import Namespace
from typing import TYPE_CHECKING, Any, Final

from lighterman.command import Context
from lighterman.errors import ExitCode, LightermanError, UsageError
from lighterman.flags import Flags, seconds, whole_number
from lighterman.globs import Globs
from sidecar.globs import LIVE, STATE_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lighterman.connections.model import Connection
    from lighterman.stores.contract import Store
    from sidecar.child import Child
    from sidecar.loop import Loop
    from sidecar.opened import Opened
    from sidecar.service import Service
    from sidecar.several import Several

LEAVE_SECONDS: Final = 5.0
"""How long the report may take once the end is decided while a thread is stuck in a request."""


def configure(flags: Flags, command: str) -> None:
    """Declare the flags of one of the three commands."""
    flags.add("--connection", metavar="NAME", help="where outputs go: a connection's name or a URI")
    flags.add("--path", metavar="DIR", help="the outputs path; made if it is missing")
    flags.add(
        "--to",
        metavar="PREFIX",
        help="the prefix below the connection's root; may hold {pod}, {namespace}, {index}, {uid}",
    )
    flags.add("--spec", metavar="FILE", help="a job spec whose outputs block says these three")
    flags.add(
        "--state", metavar="DIR", help="where the journal lives, if not <path>/" + STATE_DIRECTORY
    )
    flags.add_repeated("--exclude", metavar="GLOB", help="never sync these (as gitignore)")
    flags.add_repeated(
        "--live", default=LIVE, metavar="GLOB", help="files that grow for hours: sent while they do"
    )
    flags.add(
        "--deletes",
        choices=("keep", "mirror"),
        default="keep",
        help="mirror: delete what this journal uploaded and the path lacks",
    )
    flags.add(
        "--workers",
        convert=whole_number,
        default=16,
        metavar="N",
        help="files that are sent at once",
    )
    flags.add(
        "--grace",
        convert=seconds,
        default=30.0,
        metavar="SECONDS",
        help="time from SIGTERM to SIGKILL: the pod's terminationGracePeriodSeconds",
    )
    if command != "sync":
        _configure_watching(flags)
    if command == "sidecar":
        flags.add_switch(
            "--native", help="SIGTERM says that main has ended (a native sidecar is told after it)"
        )
        flags.add("--done-file", metavar="FILE", help="main writes it when it has ended")
    if command == "run":
        flags.add_switch("--scrub-env", help="take the credentials out of CMD's environment")


def _configure_watching(flags: Flags) -> None:
    flags.add(
        "--watch",
        choices=("auto", "poll"),
        default="auto",
        help="poll: for a filesystem whose events don't come, without trying first",
    )
    flags.add(
        "--settle",
        convert=seconds,
        default=1.0,
        metavar="SECONDS",
        help="how long a closed file rests before it is sent",
    )
    flags.add(
        "--max-delay",
        convert=seconds,
        default=30.0,
        metavar="SECONDS",
        help="how often a live file is sent, at most",
    )
    flags.add(
        "--reconcile",
        convert=seconds,
        default=300.0,
        metavar="SECONDS",
        help="how often the whole path is compared with the journal",
    )


def run(arguments: Namespace, context: Context, command: str) -> int:
    """Run one of the three; returns CMD's code (``run``) or 0, raises what went wrong."""
    if command == "run" and not arguments.cmd:
        raise UsageError("run has no command to run", hint="lighterman run … -- CMD …")
    # Not before: --help and a wrong flag need none of it.
    from sidecar.loop import Loop
    from sidecar.opened import close_all, open_all
    from sidecar.outputs import outputs_of

    outputs = outputs_of(arguments)
    _check_globs(arguments)
    opened = open_all(
        outputs,
        context.environ,
        find_connection=context.find_connection,
        open_store=_opener(arguments, context),
        options_of=lambda root, prefix, roots: _options(
            arguments, root, prefix, roots, once=command == "sync"
        ),
    )
    child = _child(arguments, context) if command == "run" else None
    with Loop() as loop:
        service = _service(opened, context, loop, child)
        code: int = ExitCode.BUG
        try:
            service.run()
            code = ExitCode.DONE
        except LightermanError as error:
            code = error.exit_code
            if child and child.code:
                _say_beside(error)
            else:
                raise
        finally:
            if child and child.code:
                code = child.code
            service.close()
            if service.is_stuck:
                _leave_soon(code)
            else:
                close_all(opened)
            for output in opened:
                output.hold.release()
    return int(code)


def _child(arguments: Namespace, context: Context) -> "Child":
    from sidecar.child import Child, without_credentials

    environ = dict(context.environ)
    if arguments.scrub_env:
        environ = without_credentials(environ)
    return Child(arguments.cmd, environ)


def _service(
    opened: "Sequence[Opened]", context: Context, loop: "Loop", child: "Child | None"
) -> "Service | Several":
    """Of one output its service; of several one end for all, one budget, and one pace for each connection."""
    from sidecar.service import Service

    def build(output: "Opened", **shared: Any) -> Service:
        return Service(
            output.options,
            output.store,
            output.journal,
            loop=loop,
            settings=context.settings,
            clock=context.clock,
            tally=context.tally,
            device=output.hold.device,
            **shared,
        )

    if len(opened) == 1:
        return build(opened[0], told=context.stop, main=child)
    from sidecar.ending import MainsEnd
    from sidecar.several import Several, StartedOnce, shared_by

    main = StartedOnce(child, len(opened)) if child else None
    end = MainsEnd(opened[0].options, context.clock, main)
    services = [
        build(output, told=None, end=end, **shared)
        for output, shared in shared_by(opened, context.settings)
    ]
    return Several(services, loop=loop, end=end, told=context.stop)


def _opener(arguments: Namespace, context: Context) -> "Callable[[Connection, int], Store]":
    """Opens the store of a connection that so many outputs share; one rate bounds all stores together."""
    from lighterman.stores.limited import limited
    from lighterman.stores.opening import open_store
    from lighterman.transfer.limit import limiter_of
    from sidecar.service import PART_THREADS

    limiter = limiter_of(context.settings.bytes_per_second, context.clock)

    def opened(connection: "Connection", sharing: int) -> "Store":
        store = open_store(
            connection,
            context.environ,
            context.settings,
            concurrency=sharing * (arguments.workers + PART_THREADS),
        )
        return limited(store, limiter)

    return opened


def _options(
    arguments: Namespace, root: str, prefix: str, roots: "Sequence[str]", *, once: bool
) -> Any:
    from sidecar.options import Options
    from sidecar.outputs import state_of

    said = state_of(arguments.state, roots, root)
    state = os.path.realpath(said or os.path.join(root, STATE_DIRECTORY))
    if state == root:
        raise UsageError(
            "--state is the outputs path itself", hint="give the journal a directory of its own"
        )
    watching = (
        {}
        if once
        else {
            "watch": arguments.watch,
            "settle_seconds": arguments.settle,
            "max_delay_seconds": arguments.max_delay,
            "reconcile_seconds": arguments.reconcile,
        }
    )
    return Options(
        root=root,
        prefix=prefix,
        state=state,
        grace_seconds=arguments.grace,
        native=getattr(arguments, "native", False),
        once=once,
        done_file=getattr(arguments, "done_file", None),
        deletes=arguments.deletes,
        live=tuple(arguments.live),
        exclude=tuple(arguments.exclude),
        workers=arguments.workers,
        **watching,
    )


def _check_globs(arguments: Namespace) -> None:
    Globs(arguments.exclude, "--exclude")
    Globs(arguments.live, "--live")


def _say_beside(error: LightermanError) -> None:
    """CMD's own code is what the process ends with; that its outputs aren't all there is said."""
    from lighterman.log import get_logger

    get_logger().error(
        "run.sync_failed", error=error.message, hint=error.hint, kind=error.kind, key=error.key
    )


def _leave_soon(code: int) -> None:
    """
    A thread that is stuck in a request can't be stopped, and may keep the interpreter from ending: the
    process ends without it, once there was time to write the report.
    """

    def leave() -> None:
        threading.Event().wait(LEAVE_SECONDS)
        os._exit(code)

    threading.Thread(target=leave, daemon=True).start()
