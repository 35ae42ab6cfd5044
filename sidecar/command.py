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
    from lighterman.connections.model import Connection
    from lighterman.stores.contract import Store

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
        metavar="N",
        help="files that are sent at once, if not up to 256 small and 16 others",
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
    from sidecar.child import Child, without_credentials
    from sidecar.journal import Journal
    from sidecar.loop import Loop
    from sidecar.outputs import outputs_of
    from sidecar.place import Hold, check_apart, made, prefix_of
    from sidecar.service import Service

    outputs = outputs_of(arguments)
    to = prefix_of(outputs.to, context.environ)
    _check_globs(arguments)
    connection = context.find_connection(outputs.connection)
    root = made(outputs.path)
    check_apart(connection, to, root)
    store = _opened(connection, arguments, context)
    prefix = "/".join(part for part in (store.prefix, to) if part)
    options = _options(arguments, root, prefix, once=command == "sync")
    hold = Hold(root)
    journal = Journal.open(options.state, f"{store.destination}/{prefix}")
    child = None
    if command == "run":
        environ = dict(context.environ)
        if arguments.scrub_env:
            environ = without_credentials(environ)
        child = Child(arguments.cmd, environ)
    with Loop() as loop:
        service = Service(
            options,
            store,
            journal,
            loop=loop,
            settings=context.settings,
            clock=context.clock,
            tally=context.tally,
            device=hold.device,
            told=context.stop,
            main=child,
        )
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
                journal.close()
                store.close()
            hold.release()
    return int(code)


def _opened(connection: "Connection", arguments: Namespace, context: Context) -> "Store":
    from lighterman.stores.limited import limited
    from lighterman.stores.opening import open_store
    from lighterman.transfer.limit import limiter_of
    from sidecar.options import WORKERS
    from sidecar.service import PART_THREADS

    store = open_store(
        connection,
        context.environ,
        context.settings,
        concurrency=(arguments.workers or WORKERS) + PART_THREADS,
    )
    return limited(store, limiter_of(context.settings.bytes_per_second, context.clock))


def _options(arguments: Namespace, root: str, prefix: str, *, once: bool) -> Any:
    from sidecar.options import CONNECTIONS, WORKERS, Options

    state = os.path.realpath(arguments.state or os.path.join(root, STATE_DIRECTORY))
    if state == root:
        raise UsageError(
            "--state is the outputs path itself", hint="give the journal a directory of its own"
        )
    watching = (
        {}
        if once
        else {
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
        workers=arguments.workers or WORKERS,
        connections=arguments.workers or CONNECTIONS,
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
