"""What the program uses, imported: all its own modules, all that they name, and what SDKs load by themselves."""

import ast
import contextlib
import importlib
import io
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from reach import PACKAGES, imports, is_below


def named_by(sources: dict[str, Path], absent: tuple[str, ...]) -> Iterator[str]:
    """
    The modules of the program, and what their import statements name, those inside functions too: ``a`` or
    ``a:b``, where ``b`` may be a module of ``a`` or not.
    """
    for name, source in sorted(sources.items()):
        if name.partition(".")[0] not in PACKAGES or name.endswith("__main__"):
            continue
        yield name
        for module, alias in imports(ast.parse(source.read_bytes()), ""):
            if not is_below(module, absent):
                yield f"{module}:{alias}"


def use(modules: Iterable[str]) -> None:
    """Import these, of which none may be missing, and do what makes SDKs import more."""
    for named in modules:
        module, _, alias = named.partition(":")
        importlib.import_module(module)
        if alias:
            with contextlib.suppress(ModuleNotFoundError):
                importlib.import_module(f"{module}.{alias}")
    with contextlib.suppress(ModuleNotFoundError):  # another cloud's image
        _make_clients()
    _show_a_bar()


def _make_clients() -> None:
    from botocore.session import Session
    from leave_out import SERVICES

    session = Session()
    session.set_credentials("id", "secret")
    for service in SERVICES:
        session.create_client(service, region_name="us-east-1")


def _show_a_bar() -> None:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=io.StringIO(), force_terminal=True)) as bar:
        bar.update(bar.add_task("fetching", total=2), advance=1)


def errors_of(modules: Iterable[str]) -> dict[str, str]:
    """What each of these ends with when it is imported in a process of its own: nothing, or an error."""
    done = subprocess.run(
        [sys.executable, "-B", __file__],
        input=json.dumps(list(modules)),
        check=True,
        capture_output=True,
        text=True,
    )
    errors: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return errors


def _tell_errors() -> None:
    errors = {}
    for module in json.load(sys.stdin):
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 - whatever it is that it lacks, or that it refuses
            errors[module] = f"{type(error).__name__}: {error}"
        else:
            errors[module] = ""
    print("\n" + json.dumps(errors), flush=True)


if __name__ == "__main__":
    _tell_errors()
