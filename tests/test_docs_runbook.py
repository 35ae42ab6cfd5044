"""docs/operations/runbook.md has an entry for whatever a user can be told."""

import ast
import re

import pytest
from docs_blocks import DOCS, REPOSITORY

from lighterman.checking.outputs import CHECKS
from lighterman.errors import ExitCode, LightermanError

PAGE = (DOCS / "operations" / "runbook.md").read_text()
CODES, _, REST = PAGE.partition("## By line of check")
LINES, _, EVENTS = REST.partition("## While a job runs")
CHECKING = sorted((REPOSITORY / "lighterman" / "checking").glob("*.py"))
SPOKEN = [*CHECKING, REPOSITORY / "lighterman" / "stores" / "s3" / "lifecycle.py"]
LEAST = 10
"""Shorter pieces of a message stand everywhere."""
STATES = {
    "failed": "failed",
    "_failed": "failed",
    "_skip": "skipped",
    "State.WARNING": "warning",
    "State.NOTE": "note",
    "State.SKIPPED": "skipped",
}


def sections(text, heading):
    """Heading to what stands below it."""
    pieces = re.split(rf"^{heading} (.*)$", text, flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


ENTRIES = sections(LINES, "###")


def told():
    """
    Each line that a check can tell and that isn't ``ok``, as the code tells it: the check's name and its state. Calls
    that pass a name on have it from one that is found here, too.
    """
    found = set()
    for path in CHECKING:
        tree = ast.parse(path.read_text())
        names = {
            node.target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            name = node.func.attr
            index = {"tell": 1, "failed": 1, "_failed": 0, "_skip": 0}.get(name)
            if index is None or len(node.args) <= index:
                continue
            said = node.args[index]
            check = said.value if isinstance(said, ast.Constant) else names.get(ast.unparse(said))
            if not isinstance(check, str):
                continue
            state = ast.unparse(node.args[2]) if name == "tell" else name
            found |= {(check, word) for spelled, word in STATES.items() if spelled in state.split()}
            if state == name:
                found.add((check, STATES[name]))
    return sorted(found)


TOLD = told()


def test_the_code_is_really_read():
    """Both kinds of lines are among those that are found, and the whole list of checks."""
    assert {("multipart", "failed"), ("grace", "warning"), ("conditions", "note")} <= set(TOLD)
    assert set(CHECKS) <= {check for check, _ in TOLD}


@pytest.mark.parametrize(("check", "state"), TOLD)
def test_every_line_of_check_has_an_entry(check, state):
    """By its name, with each state that it can have."""
    states = re.findall(
        r"^\| ((?:failed|warning|note|skipped|, )+) \|", ENTRIES[check], re.MULTILINE
    )
    assert state in {word for cell in states for word in cell.split(", ")}


def test_every_entry_is_of_a_check_that_exists():
    """In the order of docs/check.md, which names them all."""
    page = (DOCS / "check.md").read_text()
    named = [
        name
        for row in re.findall(r"^\| ((?:`[a-z ]+`(?:, )?)+) \|", page, re.MULTILINE)
        for name in re.findall(r"`([a-z ]+)`", row)
    ]
    assert set(ENTRIES) == set(named)


def pieces(node):
    """What stays the same of a text, in pieces."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return [each.value for each in node.values if isinstance(each, ast.Constant)]
    return []


def texts():
    """Every message and hint of a check that is a text of its own."""
    for path in SPOKEN:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign | ast.AnnAssign):
                target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
                if ast.unparse(target) in {"hint", "_HINT"} and node.value:
                    yield path.name, pieces(node.value)
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func).rpartition(".")[2]
            if called.endswith("Error") or called == "_Lack":
                spoken = [*node.args, *(each.value for each in node.keywords if each.arg == "hint")]
                yield from ((path.name, pieces(each)) for each in spoken)


TEXTS = sorted(
    {
        (name, max(found, key=len))
        for name, found in texts()
        if found and len(max(found, key=len)) >= LEAST
    }
)


@pytest.mark.parametrize(("file", "text"), TEXTS)
def test_every_message_and_hint_of_check_is_there(file, text):
    """Somebody who searches the page for what was printed finds it."""
    assert " ".join(text.split()).strip(" :,;") in " ".join(LINES.split())


@pytest.mark.parametrize("code", [code for code in ExitCode if code is not ExitCode.DONE])
def test_every_exit_code_has_an_entry(code):
    """A heading that begins with it."""
    assert [each for each in sections(CODES, "###") if each.startswith(f"{int(code)}: ")]


def kinds(type_=LightermanError):
    return {(int(type_.exit_code), type_.kind)}.union(*map(kinds, type_.__subclasses__()))


@pytest.mark.parametrize(("code", "kind"), sorted(kinds()))
def test_every_kind_of_error_is_in_the_table_of_codes(code, kind):
    """docs/exit-codes.md has it in the row of its code."""
    [row] = re.findall(rf"^\| {code} \|.*$", (DOCS / "exit-codes.md").read_text(), re.MULTILINE)
    assert f"`{kind}`" in row


def warnings():
    """Events that are logged as a warning or an error while a job runs."""
    for path in [*REPOSITORY.glob("sidecar/**/*.py"), *REPOSITORY.glob("lighterman/transfer/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr in {"warning", "error"} and node.args:
                yield from (each for each in pieces(node.args[0]) if "." in each)


@pytest.mark.parametrize("event", sorted(set(warnings())))
def test_every_warning_of_a_sidecar_has_an_entry(event):
    """By the name of its event."""
    assert f"`{event}`" in EVENTS


def test_every_event_of_the_page_is_one_that_is_logged():
    """A name that was changed in the code would be looked for in vain."""
    code = "\n".join(
        path.read_text()
        for package in ("sidecar", "initializer", "lighterman")
        for path in (REPOSITORY / package).glob("**/*.py")
    )
    named = re.findall(r"`((?:sidecar|transfer|init|report)\.[a-z_]+)`", EVENTS)
    assert named
    assert [] == [event for event in named if f'"{event}"' not in code]
