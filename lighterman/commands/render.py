"""``lighterman render JOB.yaml``: from a job spec to the manifest of a Kubernetes Job."""

import re
from argparse import Namespace
from typing import TYPE_CHECKING, Final

from lighterman import __version__
from lighterman.command import Context
from lighterman.errors import ExitCode, UsageError
from lighterman.flags import Flags

if TYPE_CHECKING:
    from lighterman.pods import Manifest, Wishes
    from lighterman.pods.security import User

IMAGE: Final = f"lighterman:{__version__}"
_QUANTITY: Final = re.compile(r"\d+(?:\.\d+)?(?:[kMGTPE]|[KMGTPE]i)?")
_VERSION: Final = re.compile(r"v?(\d+\.\d+)(?:\.\d+)?")


def configure(flags: Flags) -> None:
    """Add render's flags and its positional."""
    flags.parser.add_argument("job", metavar="JOB.yaml", help="the job spec")
    flags.add("--name", metavar="NAME", help="the Job's name, if not as the job spec has it")
    flags.add(
        "--image",
        default=IMAGE,
        metavar="IMAGE",
        help="Lighterman's image, unless the job spec says one",
    )
    flags.add(
        "--run-as",
        convert=_run_as,
        metavar="UID[:GID]",
        help="whom main's image runs as, if the job spec doesn't say it",
    )
    flags.add(
        "--size-limit",
        convert=_quantity,
        metavar="SIZE",
        help="of each emptyDir that is made, like 50Gi; a pod that passes it is ended without grace",
    )
    flags.add_switch(
        "--no-native", help="the sidecar as an ordinary container, for Kubernetes before 1.29"
    )
    flags.add(
        "--watch-process",
        convert=_watched,
        metavar="NAME",
        help="with --no-native: main's process, if it isn't called as its command is",
    )
    flags.add(
        "--done-file", metavar="FILE", help="with --no-native: what main writes when it has ended"
    )
    flags.add_switch(
        "--failure-policy",
        help="end the Job at once where another pod would fail alike (by our exit codes)",
    )
    flags.add_switch(
        "--validate", help="hold the manifest against Kubernetes' schemas, from 1.29 to the newest"
    )
    flags.add(
        "--kubernetes",
        convert=_version,
        metavar="VERSION",
        help="with --validate: against this version's alone",
    )


def run(arguments: Namespace, context: Context) -> int:
    """Print the manifest, once all of it is known to hold. ``ConfigurationError``, ``UsageError``."""
    # Not before: --help and a wrong flag need none of it.
    from lighterman.log import get_logger
    from lighterman.pods import manifest_of, written
    from lighterman.pods.read import read_job

    if arguments.kubernetes and not arguments.validate:
        raise UsageError("--kubernetes without --validate", hint="add --validate")
    manifest = manifest_of(
        read_job(arguments.job, arguments.name), _wishes(arguments), context.find_connection
    )
    if arguments.validate:
        from lighterman.pods.validate import validate

        versions = validate(
            manifest.documents, [arguments.kubernetes] if arguments.kubernetes else None
        )
        get_logger().info("render.validated", kubernetes=" ".join(versions))
    for note in manifest.notes:
        get_logger().warning("render.note", note=note)
    print(_heading(manifest) + written(manifest.documents), end="")  # noqa: T201 - what was asked for
    return ExitCode.DONE


def _wishes(arguments: Namespace) -> "Wishes":
    from lighterman.pods import Wishes

    return Wishes(
        image=arguments.image,
        size_limit=arguments.size_limit,
        run_as=arguments.run_as,
        is_native=not arguments.no_native,
        watch_process=arguments.watch_process,
        done_file=arguments.done_file,
        failure_policy=arguments.failure_policy,
    )


def _heading(manifest: "Manifest") -> str:
    lines = [f"# Made by lighterman render. Pod Security profile: {manifest.profile.name}."]
    lines += [f"# {line}" for note in manifest.notes for line in note.splitlines()]
    return "".join(f"{line}\n" for line in lines)


def _run_as(text: str) -> "User":
    from lighterman.pods.security import run_as

    return run_as(text)


def _watched(text: str) -> str | int:
    from sidecar.watched_process import watched

    return watched(text)


def _quantity(text: str) -> str:
    if not _QUANTITY.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is no size as Kubernetes writes it; write one like 50Gi")
    return text.strip()


def _version(text: str) -> str:
    match = _VERSION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no version of Kubernetes; write one like 1.31")
    return match[1]
