"""``lighterman sidecar --container-id …``: how Polyaxon calls its sidecar image, as a sidecar of the run's outputs."""

import shutil
import tempfile
import threading
from argparse import Namespace
from pathlib import Path
from typing import Final

from lighterman.clock import Clock
from lighterman.command import Context
from lighterman.errors import CannotWriteError, LightermanError, TransientError, UsageError
from lighterman.flags import Flags, variable_of
from lighterman.log import get_logger
from lighterman.polyaxon.context import run_of
from lighterman.polyaxon.pod import SERVICE_ACCOUNT, Pod
from sidecar import command

EXCLUDED: Final = ".git/"
"""What Polyaxon's sidecar leaves out."""
_COMMAND: Final = "sidecar"
_DELAY: Final = "--max-delay"


def configure(flags: Flags) -> None:
    """Add the sidecar's own flags, and those that Polyaxon's compiler writes."""
    command.configure(flags, _COMMAND)
    flags.add("--container-id", metavar="NAME", help="main's container of this pod")
    flags.add("--max-retries", convert=int, default=3, metavar="N", help="has no meaning here")
    flags.add(
        "--sleep-interval",
        convert=int,
        default=2,
        metavar="SECONDS",
        help="how often Kubernetes' API is asked whether main has ended",
    )
    flags.add(
        "--sync-interval",
        convert=int,
        default=-1,
        metavar="SECONDS",
        help="how often a file that grows for hours is sent (-1: as --max-delay says)",
    )
    flags.add_switch("--monitor-logs", help="has no meaning here: main's log isn't collected")
    flags.add_switch("--monitor-spec", help="has no meaning here: no spec is collected")
    flags.add(
        "--service-account",
        default=SERVICE_ACCOUNT,
        metavar="DIR",
        help="where the pod's service account is mounted",
    )


def run(arguments: Namespace, context: Context) -> int:
    """Sync the run's directory to its prefix of the artifacts store until main has ended."""
    if not arguments.container_id:
        raise UsageError("--container-id names no container", hint="give the name of main's")
    run = run_of(context.environ)
    pod = Pod(run.pod, run.namespace, context.environ, arguments.service_account)
    _say_unmapped(arguments)
    try:
        directory = tempfile.mkdtemp(prefix="lighterman-")
    except OSError as error:
        raise CannotWriteError(
            f"nowhere to note main's end: {error.strerror}", hint="mount an emptyDir at /tmp"
        ) from error
    done = Path(directory) / "main-ended"
    over = threading.Event()
    try:
        watch = _Watch(pod, arguments, context.clock, over, done)
        watch.look()
        threading.Thread(target=watch.run, name="pod", daemon=True).start()
        arguments.connection, arguments.path, arguments.to = run.store, run.path, run.uuid
        arguments.exclude = [*arguments.exclude, EXCLUDED]
        arguments.done_file = str(done)
        if arguments.sync_interval > 0 and not context.environ.get(variable_of(_DELAY)):
            arguments.max_delay = float(arguments.sync_interval)
        return command.run(arguments, context, _COMMAND)
    finally:
        over.set()
        shutil.rmtree(directory, ignore_errors=True)


def _say_unmapped(arguments: Namespace) -> None:
    given = [
        flag
        for flag, is_given in (
            ("--monitor-logs", arguments.monitor_logs),
            ("--monitor-spec", arguments.monitor_spec),
        )
        if is_given
    ]
    if given:
        get_logger().warning(
            "polyaxon.not_mapped",
            flags=" ".join(given),
            hint="main's log and the run's spec aren't collected; outputs and events are",
        )


class _Watch:
    """Asks for main's end, and makes the done-file when it has come."""

    def __init__(
        self, pod: Pod, arguments: Namespace, clock: Clock, over: threading.Event, done: Path
    ) -> None:
        self._pod = pod
        self._container = arguments.container_id
        self._every_seconds = max(1, arguments.sleep_interval)
        self._clock = clock
        self._over = over
        self._done = done
        self._said = ""

    def look(self) -> bool:
        """Whether main has ended, as far as one can tell. ``CredentialsError`` if nobody will ever tell."""
        try:
            has_ended = self._pod.has_ended(self._container)
        except TransientError as error:
            self._say(error)
            return False
        self._said = ""
        return has_ended

    def run(self) -> None:
        """Until this process ends. The done-file is touched again and again: one that was there before doesn't count."""
        has_ended = False
        while not self._clock.wait(self._every_seconds, self._over):
            if not has_ended:
                try:
                    has_ended = self.look()
                except (
                    LightermanError
                ) as error:  # it could ask before: a token that is being replaced
                    self._say(error)
                if has_ended:
                    get_logger().info("polyaxon.main_ended", container=self._container)
            if has_ended:
                self._done.touch()

    def _say(self, error: LightermanError) -> None:
        """Once, until it answers again."""
        if error.message != self._said:
            get_logger().warning("polyaxon.pod_unknown", error=error.message, hint=error.hint)
        self._said = error.message
