"""The command line: what a user types wrong, the exit codes, the budget, and a bug's end."""

import json
import re
import subprocess
import sys

import pytest
from program import Program

from lighterman import __version__
from lighterman.cli import COMMANDS, budget_bytes, main
from lighterman.errors import UsageError
from lighterman.flags import variable_of

MIB = 1024 * 1024
OWN = [name for name, command in COMMANDS.items() if not command.is_foreign]


@pytest.fixture
def program(tmp_path):
    """The program without a catalog."""
    return Program(tmp_path, {})


@pytest.mark.parametrize(
    ("argv", "said", "hint"),
    [
        ([], "no command given", f"commands: {', '.join(OWN)}"),
        (["inti"], "there is no command 'inti'", "did you mean init?"),
        (["frobnicate"], "there is no command 'frobnicate'", f"commands: {', '.join(OWN)}"),
        (
            ["init", "--conection", "x"],
            "there is no flag --conection",
            "did you mean --connection?",
        ),
        (["sync", "--frobnicate=1"], "there is no flag --frobnicate=1", "lighterman sync --help"),
        (["init", "--memory", "lots"], "'lots' is no size", "--help"),
        (["init", "--memory", "1MiB", "file:///a", "b"], "too few to move a file", "16MiB or more"),
        (
            ["sync", "--connection", "file:///", "--", "echo"],
            "sync takes no command",
            "run … -- CMD",
        ),
    ],
)
def test_a_wrong_command_line_ends_with_64_and_one_line(program, argv, said, hint):
    """64 usage: one line that says what, and how to mend it; the report says the same."""
    finished = program.run(*argv)
    assert finished.code == 64
    assert len(finished.stderr.splitlines()) == 1
    line = finished.events[0]
    assert said in line["error"]
    assert hint in line["hint"]
    assert finished.report["error"]["code"] == 64
    assert finished.report["error"]["message"] == line["error"]


@pytest.mark.parametrize("argv", [["--version"], ["-V"]])
def test_the_version(argv, capsys):
    """What runs here."""
    with pytest.raises(SystemExit) as end:
        main(argv, {})
    assert end.value.code == 0
    assert capsys.readouterr().out == f"lighterman {__version__}\n"


def test_help_lists_the_commands(capsys):
    """Each with one line; how other programs call them isn't among them."""
    with pytest.raises(SystemExit):
        main(["--help"], {})
    seen = capsys.readouterr().out
    shown = [name for name, command in COMMANDS.items() if command.summary in seen]
    assert shown == OWN


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_lists_its_flags_with_their_variables(command, capsys):
    """Every flag has an environment variable."""
    with pytest.raises(SystemExit):
        main([command, "--help"], {})
    seen = " ".join(capsys.readouterr().out.split())
    flags = set(re.findall(r"--[a-z][a-z-]+", seen)) - {"--help", "--spec"}
    variables = {variable_of(flag) for flag in flags if f"[${variable_of(flag)}]" in seen}
    assert {"LIGHTERMAN_CATALOG", "LIGHTERMAN_REPORT", "LIGHTERMAN_LOG_LEVEL"} <= variables
    assert ("LIGHTERMAN_RETRY_FOR" in variables) == COMMANDS[command].is_transfer


@pytest.mark.parametrize(
    ("command", "asked", "limit", "budget"),
    [
        ("init", None, None, 256 * MIB),
        ("init", None, 128 * MIB, 64 * MIB),
        ("sidecar", None, 1024 * MIB, 256 * MIB),
        ("run", None, None, 128 * MIB),
        ("run", None, 4096 * MIB, 128 * MIB),
        ("init", None, 8 * MIB, 16 * MIB),
        ("init", 100 * MIB, 128 * MIB, 100 * MIB),
    ],
)
def test_the_memory_budget(command, asked, limit, budget):
    """`--memory`, else the smaller of 256 MiB and half of the cgroup's limit (in `run` 128 MiB)."""
    assert budget_bytes(command, asked, limit) == budget


def test_a_budget_that_holds_no_buffer_is_refused():
    """It would wait for ever, or not keep its word."""
    with pytest.raises(UsageError, match="too few"):
        budget_bytes("init", MIB, None)


def test_a_bug_ends_with_70_and_its_traceback_in_the_log(tmp_path):
    """70 is a bug."""
    program = (
        "import sys, initializer.command\n"
        "def broken(arguments, context): raise ZeroDivisionError('oops')\n"
        "initializer.command.run = broken\n"
        "from lighterman.cli import main\n"
        f"sys.exit(main(['init', 'file:///a', 'b', '--report', {str(tmp_path / 'report')!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 70
    assert "ZeroDivisionError: oops" in done.stderr
    report = json.loads((tmp_path / "report").read_text())
    assert (report["error"]["code"], report["error"]["kind"]) == (70, "bug")


def test_it_runs_as_a_module_and_as_a_console_script():
    """Console script `lighterman`, also `python -m lighterman`."""
    module = subprocess.run(
        [sys.executable, "-m", "lighterman", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert module.stdout == f"lighterman {__version__}\n"
