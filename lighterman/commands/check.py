"""``lighterman check``: tries what a job will need, before it spends time on finding out."""

from argparse import Namespace

from lighterman.command import Context
from lighterman.flags import Flags, seconds


def configure(flags: Flags) -> None:
    """Add check's flags and its names."""
    flags.parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="connections or URIs; where nothing else is named either: each one of the catalog",
    )
    flags.add("--spec", metavar="JOB.yaml", help="a job spec: all that it reads and writes")
    flags.add("--connection", metavar="NAME", help="where outputs go: checked for writing")
    flags.add_switch("--write", help="outputs go to the connections that are named: write a probe")
    flags.add(
        "--to",
        metavar="PREFIX",
        help="where outputs go below the connection's root; may hold {pod}, {namespace}, {index}, {uid}",
    )
    flags.add("--path", metavar="DIR", help="the outputs path: writable, space, inotify events")
    flags.add(
        "--grace",
        convert=seconds,
        default=30.0,
        metavar="SECONDS",
        help="time from SIGTERM to SIGKILL: the pod's terminationGracePeriodSeconds",
    )
    flags.add(
        "--results",
        choices=("table", "json"),
        help="how they are printed, if not as a table on a terminal and as JSON lines elsewhere",
    )


def run(arguments: Namespace, context: Context) -> int:
    """0 if every check holds; raises what the first failures amount to."""
    # Not before: --help and a wrong flag need none of it.
    from lighterman.checking.findings import Findings
    from lighterman.checking.run import Checks
    from lighterman.checking.shown import printer
    from lighterman.checking.subjects import subjects_of

    subjects = subjects_of(arguments, context)
    findings = Findings(printer(arguments.results), context.tally)
    return Checks(subjects, arguments, context, findings).run()
