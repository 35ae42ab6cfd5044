"""
The command line: finds the command, reads its flags, runs it, and turns its end into the log line,
the report and the exit code. Only the command that was named is imported.
"""

import os
import signal
import sys
import threading
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from itertools import pairwise
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lighterman import __version__
from lighterman.cgroup import memory_limit_bytes
from lighterman.clock import Clock, SystemClock
from lighterman.command import Context
from lighterman.errors import ExitCode, LightermanError, UsageError
from lighterman.flags import Flags, Parser, rate, seconds, size, timeout
from lighterman.log import configure as configure_log
from lighterman.log import get_logger
from lighterman.transfer.settings import TransferSettings
from lighterman.transfer.tally import Tally

if TYPE_CHECKING:
    from lighterman.connections.model import Connection


class Command(NamedTuple):
    """One command, and the module that has its ``configure(flags)`` and ``run(arguments, context)``."""

    summary: str
    module: str
    is_told_its_name: bool = False
    """The module is several commands: both functions take the name too, as their last argument."""
    is_transfer: bool = True
    """It talks to stores: it has the flags of memory, retries and stalls."""
    retry_seconds: float = 300.0
    """How long transient trouble is retried, if nothing else is said."""
    stall_seconds: float = 60.0
    """How long a store may send nothing, if nothing else is said."""
    has_limit: bool = True
    """What it carries can be kept to a rate."""
    is_hook: bool = False
    """
    It runs in another command's container, whose report it must not write over: it has one only where its
    own command line says so.
    """
    is_foreign: bool = False
    """Another program's way to call one of the others: not among what ``--help`` lists."""


COMMANDS: Final = {
    "init": Command(
        "pull declared dirs and files from a connection into the pod's volume, then end",
        "initializer.command",
    ),
    "sidecar": Command(
        "watch an outputs path and keep a bucket in step with it, until main ends",
        "sidecar.command",
        is_told_its_name=True,
    ),
    "run": Command(
        "run a command, sync its outputs while it runs, and flush them after it: run … -- CMD",
        "sidecar.command",
        is_told_its_name=True,
    ),
    "sync": Command(
        "bring a bucket in step with a path once, then end",
        "sidecar.command",
        is_told_its_name=True,
    ),
    "verify": Command(
        "compare a prefix with its manifests, or with a path",
        "lighterman.commands.verify",
    ),
    "mark-stop": Command(
        "note for the sidecar that the pod's stop begins now, as a preStop hook does",
        "sidecar.mark_stop",
        is_transfer=False,
        is_hook=True,
    ),
    "ready": Command(
        "say by the exit code whether the sidecar has its journal and its watches, as a probe asks",
        "sidecar.ready",
        is_transfer=False,
        is_hook=True,
    ),
    "render": Command(
        "turn a job spec into the manifest of a Kubernetes Job, with the init containers and the sidecar",
        "lighterman.commands.render",
        is_transfer=False,
    ),
    "check": Command(
        "try connections, volumes and the grace period before a job spends time on finding out",
        "lighterman.commands.check",
        retry_seconds=10.0,
        stall_seconds=10.0,
        has_limit=False,
    ),
    "env": Command(
        "print the environment that a client library or TensorFlow needs for a connection",
        "lighterman.commands.env",
        is_transfer=False,
    ),
    "schema": Command(
        "print the JSON Schema of the catalog and of the job spec, for editors",
        "lighterman.commands.schema",
        is_transfer=False,
    ),
    "initializer": Command(
        "init, as Polyaxon calls its init image: initializer path --path-from … --path-to …",
        "lighterman.polyaxon.initializer",
        is_foreign=True,
    ),
    "polyaxon-sidecar": Command(
        "sidecar, as Polyaxon calls its sidecar image: sidecar --container-id …",
        "lighterman.polyaxon.sidecar",
        is_foreign=True,
    ),
}
REPORT_VARIABLE: Final = "LIGHTERMAN_REPORT"
MEMORY_BYTES: Final = 256 * 1024 * 1024
MEMORY_BYTES_IN_RUN: Final = 128 * 1024 * 1024
LEAST_MEMORY_BYTES: Final = 16 * 1024 * 1024


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run one command; returns the exit code of the contract's table."""
    argv = _as_ours(sys.argv[1:] if argv is None else argv)
    environ = os.environ if environ is None else environ
    clock = SystemClock()
    begun = clock.monotonic()
    tally = Tally()
    name, arguments = "lighterman", Namespace(report=_report_place(argv, environ))
    code: int = ExitCode.DONE
    failure: LightermanError | None = None
    try:
        name = _command_of(argv)
        if COMMANDS[name].is_hook:
            environ = {key: value for key, value in environ.items() if key != REPORT_VARIABLE}
            arguments = Namespace(report=_report_place(argv, environ))
        arguments = _parse(name, argv, environ)
        code = _run(name, arguments, _context(name, arguments, environ, clock, tally))
    except LightermanError as error:
        code, failure = error.exit_code, error
    except Exception as error:  # noqa: BLE001 - whatever isn't one of ours is a bug, and ends as 70
        failure = _bug(error)
        code = failure.exit_code
    if failure:
        _say(name, failure)
    _report(name, arguments, tally, clock.monotonic() - begun, code, failure)
    return int(code)


def program() -> int:
    """
    ``main`` as the whole of a process. What it ends with is decided when this returns: a signal that comes while
    the interpreter is taken down, whose handlers are gone by then, doesn't make a failure of it.
    """
    code = main()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    return code


def _as_ours(argv: Sequence[str]) -> Sequence[str]:
    """
    A URI in the command's place is how KServe calls its storage initializer: ``URI DEST``, or several pairs.
    ``sidecar --container-id`` is Polyaxon's, whose ``initializer`` has a name of its own.
    """
    if argv and "://" in argv[0]:
        return ["init", "--kserve", *argv]
    if argv[:1] == ["sidecar"] and any(one.startswith("--container-id") for one in argv):
        return ["polyaxon-sidecar", *argv[1:]]
    return argv


def _report_place(argv: Sequence[str], environ: Mapping[str, str]) -> str | None:
    """Where the report goes of a command line that can't be read as a whole."""
    for flag, value in pairwise([*argv, ""]):
        if flag == "--report":
            return value
        if flag.startswith("--report="):
            return flag.partition("=")[2]
    return environ.get(REPORT_VARIABLE)


def _command_of(argv: Sequence[str]) -> str:
    first = argv[0] if argv else ""
    if first in ("-V", "--version"):
        print(f"lighterman {__version__}")  # noqa: T201 - what was asked for
        raise SystemExit(ExitCode.DONE)
    if first in ("-h", "--help", "help"):
        print(_usage())  # noqa: T201 - what was asked for
        raise SystemExit(ExitCode.DONE)
    if first not in COMMANDS:
        import difflib

        close = difflib.get_close_matches(first, COMMANDS, n=1)
        said = f"there is no command {first!r}" if first else "no command given"
        raise UsageError(
            said, hint=f"did you mean {close[0]}?" if close else f"commands: {', '.join(_own())}"
        )
    return first


def _own() -> list[str]:
    return [name for name, command in COMMANDS.items() if not command.is_foreign]


def _usage() -> str:
    lines = [f"  {name:<11}{COMMANDS[name].summary}" for name in _own()]
    return "\n".join(
        [
            "usage: lighterman COMMAND [FLAGS]",
            "",
            *lines,
            "",
            "lighterman COMMAND --help lists the flags; each is also a variable LIGHTERMAN_….",
        ]
    )


def parsed(name: str, argv: Sequence[str], environ: Mapping[str, str]) -> Namespace:
    """What a command line says, with the variables of its flags. ``UsageError`` for what is off in it."""
    own, wrapped = list(argv[1:]), []
    if "--" in own:
        cut = own.index("--")
        own, wrapped = own[:cut], own[cut + 1 :]
    flags = _flags(name, environ)
    arguments, unknown = flags.parser.parse_known_intermixed_args(own)
    if unknown:
        raise UsageError(
            f"there is no flag {unknown[0]}", hint=flags.nearest(unknown[0], f"lighterman {name}")
        )
    arguments.cmd = wrapped
    if wrapped and name != "run":
        raise UsageError(f"{name} takes no command after --", hint="lighterman run … -- CMD does")
    return arguments


def flags_of(name: str) -> tuple[str, ...]:
    """The long names of a command's flags."""
    options = _flags(name, {}).parser._option_string_actions  # noqa: SLF001 - argparse tells it nowhere else
    return tuple(option for option in options if option.startswith("--") and option != "--help")


def _parse(name: str, argv: Sequence[str], environ: Mapping[str, str]) -> Namespace:
    arguments = parsed(name, argv, environ)
    configure_log(arguments.log_level, arguments.log_format)
    return arguments


def _flags(name: str, environ: Mapping[str, str]) -> Flags:
    command = COMMANDS[name]
    parser = Parser(prog=f"lighterman {name}", description=command.summary, allow_abbrev=False)
    flags = Flags(parser, environ)
    _module(command).configure(flags, *_told(name))
    flags.add("--catalog", metavar="FILE", help="the catalog of connections")
    flags.add("--report", metavar="FILE", help="where the report goes, if not the termination log")
    if command.is_transfer:
        _add_transfer_flags(flags, name)
    flags.add(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="how much is logged",
    )
    flags.add(
        "--log-format",
        choices=("json", "text"),
        help="if not text on a terminal and JSON elsewhere",
    )
    return flags


def _module(command: Command) -> Any:
    return import_module(command.module)


def _told(name: str) -> tuple[str, ...]:
    return (name,) if COMMANDS[name].is_told_its_name else ()


def _add_transfer_flags(flags: Flags, name: str) -> None:
    flags.add(
        "--memory",
        convert=size,
        metavar="SIZE",
        help="the budget of all buffers, if not the smaller of "
        f"{_default_budget(name) >> 20}MiB and half of the container's limit",
    )
    flags.add(
        "--retry-for",
        convert=seconds,
        default=COMMANDS[name].retry_seconds,
        metavar="SECONDS",
        help="how long transient trouble is retried",
    )
    flags.add(
        "--stall-timeout",
        convert=timeout,
        default=COMMANDS[name].stall_seconds,
        metavar="SECONDS",
        help="a transfer without a byte for so long is cut and retried",
    )
    if COMMANDS[name].has_limit:
        flags.add(
            "--bwlimit",
            convert=rate,
            default=0,
            metavar="RATE",
            help="bytes per second that all transfers together may carry, like 50M; 0: no limit",
        )


def _default_budget(name: str) -> int:
    return MEMORY_BYTES_IN_RUN if name == "run" else MEMORY_BYTES


def budget_bytes(name: str, asked: int | None, limit: int | None) -> int:
    """The memory budget: what was asked for, else the smaller of the default and half of the limit."""
    if asked is not None:
        if asked < LEAST_MEMORY_BYTES:
            raise UsageError(
                f"--memory: {asked} bytes are too few to move a file",
                hint=f"give it {LEAST_MEMORY_BYTES >> 20}MiB or more",
            )
        return asked
    most = _default_budget(name)
    return max(LEAST_MEMORY_BYTES, min(most, limit // 2)) if limit is not None else most


def _context(
    name: str, arguments: Namespace, environ: Mapping[str, str], clock: Clock, tally: Tally
) -> Context:
    return Context(
        environ=environ,
        find_connection=_finder(arguments.catalog, environ),
        settings=_settings(name, arguments),
        clock=clock,
        tally=tally,
        stop=_stopped_by_signals(),
    )


def _finder(catalog: str | None, environ: Mapping[str, str]) -> "Callable[[str], Connection]":
    """Finds connections; a hook, which has little time, never asks, and waits for no import."""

    @cache
    def finder() -> "Callable[[str], Connection]":
        from lighterman.connections.catalog import find_connection

        return find_connection(catalog, environ)

    def find(name: str) -> "Connection":
        return finder()(name)

    return find


def _settings(name: str, arguments: Namespace) -> TransferSettings:
    if not COMMANDS[name].is_transfer:
        return TransferSettings()
    return TransferSettings(
        memory_bytes=budget_bytes(name, arguments.memory, memory_limit_bytes()),
        retry_seconds=arguments.retry_for,
        stall_seconds=arguments.stall_timeout,
        bytes_per_second=getattr(arguments, "bwlimit", 0),
    )


def _stopped_by_signals() -> threading.Event:
    stop = threading.Event()

    def note(_number: int, _frame: FrameType | None) -> None:
        # An event's lock isn't for one thread twice: the next signal finds it set, and leaves it alone.
        if not stop.is_set():
            stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, note)
    return stop


def _run(name: str, arguments: Namespace, context: Context) -> int:
    from lighterman.transfer.progress import Progress

    with Progress(name, context.tally, context.clock):
        return int(_module(COMMANDS[name]).run(arguments, context, *_told(name)))


def _bug(error: Exception) -> LightermanError:
    import traceback

    get_logger().error("lighterman.bug", traceback="".join(traceback.format_exception(error)))
    return LightermanError(
        f"a bug: {type(error).__name__}: {error}",
        hint="please report it, with the traceback in the log",
    )


def _say(name: str, failure: LightermanError) -> None:
    fields: dict[str, object] = {"error": failure.message, "kind": failure.kind}
    for field in ("hint", "connection", "key"):
        if value := getattr(failure, field):
            fields[field] = value
    get_logger().error(f"{name}.failed", code=int(failure.exit_code), **fields)


def _report(
    name: str,
    arguments: Namespace,
    tally: Tally,
    took_seconds: float,
    code: int,
    failure: LightermanError | None,
) -> None:
    if name in COMMANDS and COMMANDS[name].is_hook and not arguments.report:
        return
    from lighterman import report

    report.write(report.build(name, tally, took_seconds, code, failure), arguments.report)
