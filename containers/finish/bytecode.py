"""
What is imported, compiled beforehand: a container with a read-only root would compile it at each of its starts.

No compiled file is compared with its source (PEP 552): in an image neither ever changes. All are without
docstrings, which nothing reads at run time; asserts stay.
"""

import ast
import importlib.util
import marshal
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_UNCHECKED: Final = (0b01).to_bytes(4, "little")


def compile_packages(site: Path) -> int:
    """
    Each source below ``site`` becomes its compiled file, in its place: Python imports that as well (PEP 3147),
    and both together would take half as much again. How many.
    """
    sources = sorted(site.rglob("*.py"))
    for source in sources:
        _compile(source, source.with_suffix(".pyc"))
        source.unlink()
    return len(sources)


def compile_standard_library(sources: Iterable[Path], root: Path) -> int:
    """
    Compile those of the standard library to below ``root``, at the places where this Python looks for them
    beside their sources. How many.
    """
    library = Path(sysconfig.get_path("stdlib"))
    own = [source for source in sources if source.is_relative_to(library)]
    for source in own:
        cached = Path(importlib.util.cache_from_source(str(source)))
        _compile(source, root / cached.relative_to("/"))
    return len(own)


def _compile(source: Path, target: Path) -> None:
    text = source.read_bytes()
    code = compile(_without_docstrings(ast.parse(text)), str(source), "exec", dont_inherit=True)
    head = importlib.util.MAGIC_NUMBER + _UNCHECKED + importlib.util.source_hash(text)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(head + marshal.dumps(code))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str())) as first, *rest]:
                    node.body = rest or [ast.copy_location(ast.Pass(), first)]
    return tree
