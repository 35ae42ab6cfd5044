"""
What the program uses, imported in a process of its own: all its modules, all that they name, and what SDKs
load by themselves.
"""

import ast
import contextlib
import importlib
import io
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from leave_out import SERVICES
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


def errors_of(modules: Iterable[str]) -> dict[str, str]:
    """What each of these ends with when it is imported: nothing, or an error."""
    errors: dict[str, str] = _asked("errors", list(modules))
    return errors


def sources_of(named: Iterable[str]) -> list[Path]:
    """
    The sources that are read when these (see ``named_by``) are imported and used. ``CalledProcessError`` if
    one is missing.
    """
    return [Path(source) for source in _asked("sources", list(named))]


def _asked(question: str, about: list[str]) -> Any:
    """``about`` holds names of modules. Nothing that this process has imported counts for the answer."""
    done = subprocess.run(
        [sys.executable, "-B", __file__, question],
        input=json.dumps(about),
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path)},
        check=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _errors(modules: list[str]) -> dict[str, str]:
    errors = {}
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 - whatever it is that it lacks, or that it refuses
            errors[module] = f"{type(error).__name__}: {error}"
        else:
            errors[module] = ""
    return errors


def _sources(named: list[str]) -> list[str]:
    for each in named:
        module, _, alias = each.partition(":")
        importlib.import_module(module)
        if alias:
            with contextlib.suppress(ModuleNotFoundError):
                importlib.import_module(f"{module}.{alias}")
    with contextlib.suppress(ModuleNotFoundError):  # another cloud's image
        _make_clients()
    _show_a_bar()
    specs = [module.__spec__ for module in list(sys.modules.values()) if module.__spec__]
    # What is frozen is in Python's own binary, compiled.
    origins = [spec.origin or "" for spec in specs if spec.origin != "frozen"]
    return sorted({origin for origin in origins if origin.endswith(".py")})


def _make_clients() -> None:
    from botocore.session import Session

    session = Session()
    session.set_credentials("id", "secret")
    for service in SERVICES:
        session.create_client(service, region_name="us-east-1")


def _show_a_bar() -> None:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=io.StringIO(), force_terminal=True)) as bar:
        bar.update(bar.add_task("fetching", total=2), advance=1)


if __name__ == "__main__":
    answer = {"errors": _errors, "sources": _sources}[sys.argv[1]](json.load(sys.stdin))
    print("\n" + json.dumps(answer), flush=True)
