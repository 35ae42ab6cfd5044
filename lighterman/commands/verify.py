"""``lighterman verify``: compares a prefix with its manifests, or with a path."""

from argparse import Namespace

from lighterman.command import Context
from lighterman.errors import ExitCode, UsageError
from lighterman.flags import Flags


def configure(flags: Flags) -> None:
    """Add verify's flags."""
    flags.add("--connection", metavar="NAME", help="a connection's name or a URI")
    flags.add(
        "--dir",
        default="",
        metavar="PREFIX",
        help="what is compared, below the connection's root; may hold {pod}, {namespace}, {index}, {uid}",
    )
    flags.add("--path", metavar="DIR", help="compare with this directory instead of the manifests")
    flags.add_repeated(
        "--exclude", metavar="GLOB", help="of --path: these were never synced (as gitignore)"
    )
    flags.add(
        "--marker", default="", metavar="NAME", help="compare with this manifest alone, by its name"
    )
    flags.add_switch("--read", help="read what the store tells no usable checksum of")
    flags.add_switch("--exact", help="objects that nobody names are a difference too")
    flags.add(
        "--results",
        choices=("text", "json"),
        help="how they are printed, if not as text on a terminal and as JSON lines elsewhere",
    )


def run(arguments: Namespace, context: Context) -> int:
    """0 if all is equal; raises what the differences amount to."""
    if not arguments.connection:
        raise UsageError("no connection is given", hint="--connection NAME, or a URI")
    if arguments.path and arguments.marker:
        raise UsageError("--path and --marker are two things to compare with", hint="give one")
    # Not before: --help and a wrong flag need none of it.
    from lighterman.verifying.run import verify

    verify(arguments, context)
    return ExitCode.DONE
