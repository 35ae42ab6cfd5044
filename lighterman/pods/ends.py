"""What is wished beside the job spec, and by what the sidecar knows that main has ended."""

from collections.abc import Mapping
from typing import NamedTuple

from lighterman.errors import UsageError
from lighterman.pods.containers import End
from lighterman.pods.paths import absolute, output_paths
from lighterman.pods.read import Written
from lighterman.pods.security import User
from lighterman.pods.volumes import Mounted, covering
from sidecar.watched_process import watched


class Wishes(NamedTuple):
    """What isn't in the job spec, but said beside it."""

    image: str
    size_limit: str | None = None
    run_as: User | None = None
    is_native: bool = True
    watch_process: str | int | None = None
    done_file: str | None = None
    failure_policy: bool = False


def end_of(written: Written, wishes: Wishes, paths: Mapping[str, Mounted]) -> End:
    """
    By what main's end is known. ``paths`` are the mounts of the outputs. ``UsageError`` for wishes that don't go together,
    ``ConfigurationError`` where main's process has no name.
    """
    if wishes.is_native:
        _refuse_ends(wishes)
    if wishes.is_native or not written.spec.outputs:
        return End()
    if wishes.watch_process is not None and wishes.done_file:
        raise UsageError("--watch-process and --done-file are two ends of main", hint="say one")
    if wishes.done_file:
        return End(is_native=False, done_file=_done_file(written, wishes.done_file, paths))
    return End(is_native=False, process=_process(written, wishes.watch_process))


def _refuse_ends(wishes: Wishes) -> None:
    for flag, value in (
        ("--watch-process", wishes.watch_process),
        ("--done-file", wishes.done_file),
    ):
        if value is not None:
            raise UsageError(
                f"{flag} is for --no-native: the kubelet tells a native sidecar when main has ended",
                hint=f"add --no-native, or leave {flag} out",
            )


def _done_file(written: Written, path: str, paths: Mapping[str, Mounted]) -> str:
    outputs = [paths[output] for output in output_paths(written)]
    is_seen = path.startswith("/") and covering(absolute(path), outputs) is not None
    if not is_seen or absolute(path) in [
        *output_paths(written),
        *(mount.path for mount in outputs),
    ]:
        raise UsageError(
            f"--done-file {path} is no file that the sidecar could see",
            hint=f"name a file on a volume of the outputs: {outputs[0].path}/.done",
        )
    return absolute(path)


def _process(written: Written, said: str | int | None) -> str:
    if isinstance(said, int):
        raise UsageError(
            f"--watch-process {said}: nobody knows main's number before it runs",
            hint="give its name",
        )
    if written.environment.share_process_namespace is False:
        written.fail(
            written.place("environment", "shareProcessNamespace"),
            "the sidecar couldn't see main's process",
            "take it out, or give --done-file",
        )
    if written.environment.host_pid:
        written.fail(
            written.place("environment", "hostPID"),
            "the sidecar would look for main among all processes of the node",
            "take it out, or give --done-file",
        )
    if written.environment.restart_policy == "OnFailure":
        written.fail(
            written.place("environment", "restartPolicy"),
            "main would be started again after the end of its process, and without the sidecar",
            "write Never, or give --done-file, which main writes when it has done all of it",
        )
    command = written.run.container.command
    process = said or (command[0].rpartition("/")[2] if command else None)
    if not process:
        written.fail(
            written.place("container", "command"),
            "what main's process is called isn't known",
            "say the command there, or --watch-process NAME, or --done-file PATH",
        )
    try:
        # What the kubelet fills in, or a number, is no name that a process goes by.
        name = None if "$(" in process else watched(process)
    except ValueError:
        name = None
    if not isinstance(name, str):
        written.fail(
            written.place("container", "command"),
            f"{process!r} is no name that main's process goes by",
            "say --watch-process NAME, or --done-file PATH",
        )
    return name
