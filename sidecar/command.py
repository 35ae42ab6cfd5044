"""The commands ``sidecar``, ``run`` and ``sync``: their flags, and what they come to."""

import os
from argparse import Namespace
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lighterman.command import Context
from lighterman.errors import ExitCode, LightermanError, UsageError
from lighterman.flags import Flags, seconds, whole_number
from lighterman.globs import Globs
from sidecar.globs import LIVE
from sidecar.groups import check_groups
from sidecar.on_failure import UPLOAD, elsewhere, failed_output, on_failure
from sidecar.place import below
from sidecar.status.address import address, listening
from sidecar.watched_process import WatchedProcess, watched
from sidecar.where import STATE_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from socket import socket

    from lighterman.connections.model import Connection
    from lighterman.stores.contract import Store
    from sidecar.child import Child


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
    flags.add_repeated(
        "--group",
        metavar="GLOB",
        help="directories that are published whole: their files first, then a manifest",
    )
    flags.add(
        "--group-done",
        default="",
        metavar="NAME",
        help="the file in a group that says that it is complete, if it isn't renamed into place",
    )
    flags.add(
        "--marker",
        default="",
        metavar="NAME",
        help="written below the prefix at the very end: the manifest of everything in it",
    )
    flags.add(
        "--deletes",
        choices=("keep", "mirror"),
        default="keep",
        help="mirror: delete what this journal uploaded and the path lacks",
    )
    flags.add(
        "--on-conflict",
        choices=("overwrite", "fail"),
        default="overwrite",
        help="fail: never replace an object that someone else wrote (65)",
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
        flags.add(
            "--watch-process",
            convert=watched,
            metavar="NAME|PID",
            help="main is this process of the shared process namespace: its end is main's",
        )
    if command == "run":
        flags.add_switch("--scrub-env", help="take the credentials out of CMD's environment")
        flags.add(
            "--on-failure",
            convert=on_failure,
            default=UPLOAD,
            metavar="upload|skip|PREFIX",
            help="what becomes of the outputs when CMD failed: they go where they always do, nothing "
            "more is sent, or all go to that prefix",
        )


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
    flags.add(
        "--listen",
        convert=address,
        metavar="HOST:PORT",
        help="show there over HTTP how it goes: /healthz /readyz /metrics /status /flush and a page",
    )


def run(arguments: Namespace, context: Context, command: str) -> int:
    """Run one of the three; returns CMD's code (``run``) or 0, raises what went wrong."""
    if command == "run" and not arguments.cmd:
        raise UsageError("run has no command to run", hint="lighterman run … -- CMD …")
    listen = getattr(arguments, "listen", None)
    return _run(arguments, context, command, listening(listen) if listen else None)


def _run(arguments: Namespace, context: Context, command: str, listener: "socket | None") -> int:
    # Not before: --help and a wrong flag need none of it.
    from sidecar.loop import Loop
    from sidecar.opened import open_all
    from sidecar.outputs import outputs_of
    from sidecar.syncs import Syncs

    outputs = outputs_of(arguments)
    process = _watched_process(arguments, context)
    if_failed = failed_output(arguments, outputs, context.environ)
    _check_globs(arguments)
    opened = open_all(
        outputs,
        context.environ,
        find_connection=context.find_connection,
        open_store=_opener(arguments, context),
        options_of=lambda root, prefix, roots: _options(
            arguments, root, prefix, roots, once=command == "sync"
        ),
        if_failed=if_failed,
    )
    child = _child(arguments, context) if command == "run" else None
    with Loop() as loop:
        syncs = Syncs(opened, loop, context, listener)
        code: int = ExitCode.BUG
        try:
            syncs.go(child, process)
            if child and child.failed and if_failed is not None:
                (first,) = opened
                syncs.go_again(*elsewhere(first.options, below(first.store.prefix, if_failed)))
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
            syncs.close(code)
    return int(code)


def _child(arguments: Namespace, context: Context) -> "Child":
    from sidecar.child import Child, without_credentials

    environ = dict(context.environ)
    return Child(arguments.cmd, without_credentials(environ) if arguments.scrub_env else environ)


def _watched_process(arguments: Namespace, context: Context) -> WatchedProcess | None:
    """Made before anything that takes time: a main that ends soon is seen."""
    wanted = getattr(arguments, "watch_process", None)
    return None if wanted is None else WatchedProcess(wanted, context.clock)


def _opener(arguments: Namespace, context: Context) -> "Callable[[Connection, int], Store]":
    """Opens the store of a connection that so many outputs share; one rate bounds all stores together."""
    from lighterman.stores.limited import limited
    from lighterman.stores.opening import open_store
    from lighterman.transfer.limit import limiter_of
    from sidecar.options import WORKERS
    from sidecar.rig import PART_THREADS

    limiter = limiter_of(context.settings.bytes_per_second, context.clock)

    def opened(connection: "Connection", sharing: int) -> "Store":
        store = open_store(
            connection,
            context.environ,
            context.settings,
            concurrency=sharing * ((arguments.workers or WORKERS) + PART_THREADS),
        )
        return limited(store, limiter)

    return opened


def _options(
    arguments: Namespace, root: str, prefix: str, roots: "Sequence[str]", *, once: bool
) -> Any:
    from sidecar.options import CONNECTIONS, WORKERS, Options
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
        on_conflict=arguments.on_conflict,
        drops_failed=getattr(arguments, "on_failure", UPLOAD) != UPLOAD,
        live=tuple(arguments.live),
        exclude=tuple(arguments.exclude),
        workers=arguments.workers or WORKERS,
        connections=arguments.workers or CONNECTIONS,
        groups=tuple(arguments.group),
        group_done=arguments.group_done,
        marker=arguments.marker,
        **watching,
    )


def _check_globs(arguments: Namespace) -> None:
    Globs(arguments.exclude, "--exclude")
    Globs(arguments.live, "--live")
    check_groups(arguments.group, arguments.group_done, arguments.marker)


def _say_beside(error: LightermanError) -> None:
    """CMD's own code is what the process ends with; that its outputs aren't all there is said."""
    from lighterman.log import get_logger

    get_logger().error(
        "run.sync_failed", error=error.message, hint=error.hint, kind=error.kind, key=error.key
    )
