"""``lighterman schema``: JSON Schema of what users write."""

import json
from argparse import Namespace

from lighterman.command import Context
from lighterman.errors import ExitCode
from lighterman.flags import Flags

DOCUMENTS = ("catalog", "job")


def configure(flags: Flags) -> None:
    """Add schema's positional."""
    flags.parser.add_argument(
        "document",
        nargs="?",
        choices=DOCUMENTS,
        metavar="catalog|job",
        help="of which document; left out: of both, told apart by what they hold",
    )


def run(arguments: Namespace, context: Context) -> int:  # noqa: ARG001 - every command is called so
    """Print the schema."""
    from lighterman.schemas import schema_of

    print(json.dumps(schema_of(arguments.document), indent=2))  # noqa: T201 - what was asked for
    return ExitCode.DONE
