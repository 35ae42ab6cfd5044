"""``lighterman env NAME``: the environment that a client library needs for a connection."""

from argparse import Namespace

from lighterman.command import Context
from lighterman.errors import ExitCode
from lighterman.flags import Flags


def configure(flags: Flags) -> None:
    """Add env's flags and its positional."""
    flags.parser.add_argument("name", metavar="NAME", help="a connection of the catalog, or a URI")
    flags.add(
        "--format",
        choices=("shell", "dotenv", "json"),
        default="shell",
        help="shell: for eval; dotenv: for env files; json: one object",
    )
    flags.add_switch("--reveal", help="print secrets, too; without it they are masked")
    flags.add_switch(
        "--resolve",
        help="exchange a role for keys now, where a library couldn't: they expire",
    )
    flags.add(
        "--write-key",
        metavar="FILE",
        help="write a key that only a file can hold (a service account's JSON) there, for its owner alone",
    )


def run(arguments: Namespace, context: Context) -> int:
    """Print the environment. ``ConfigurationError``, ``CredentialsError`` as the stores raise them."""
    from lighterman.environments import environment_of, printed
    from lighterman.log import get_logger

    connection = context.find_connection(arguments.name)
    environment = environment_of(
        connection,
        context.environ,
        context.settings,
        resolve=arguments.resolve,
        key_file=arguments.write_key,
    )
    for note in environment.notes:
        get_logger().warning("env.note", connection=connection.name, note=note)
    text = printed(environment, arguments.format, reveal=arguments.reveal)
    print(text, end="")  # noqa: T201 - what was asked for
    return ExitCode.DONE
