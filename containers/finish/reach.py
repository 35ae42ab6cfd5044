"""
What the program can import, found by reading: from its own modules along every import statement, those
inside functions too, through the installed packages. Nothing is run for it.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PACKAGES: Final = ("lighterman", "initializer", "sidecar")
CLOUDS: Final = {
    "s3": ("botocore",),  # the program's own modules stay: `env` asks them
    "gcs": ("lighterman.stores.gcs", "google.cloud.storage"),
    "azure": ("lighterman.stores.azure", "azure"),
}
"""The clouds that an image may be built for, and the only modules that speak with each: the program's, the SDK's."""

EXTRAS: Final = (
    *(f"lighterman.library.filesystem_{store}" for store in ("azure", "gcs", "s3", "volume")),
    "lighterman.library.rooted",
    *("adlfs", "aiobotocore", "aiohttp", "fsspec", "gcsfs", "s3fs", "kubernetes_validate"),
)
"""Of ``lighterman[fsspec]`` and ``[validate]``: for who uses the library or writes manifests, not for the image."""

BY_NAME: Final = {
    "cryptography": ("_cffi_backend",),
    "opentelemetry.context": ("opentelemetry.context.contextvars_context",),
}
"""Imports that no statement tells: of a Rust extension; through an entry point."""

NOT_FOLLOWED: Final = {
    "botocore.crt.auth": "signs with awscrt, which isn't installed",
    "dateutil.rrule": "botocore reads times, and no calendars",
    "dateutil.tz.win": "for Windows",
    "dateutil.zoneinfo": "botocore reads times with an offset, and no names of zones",
    "google.cloud.storage._experimental": "gRPC, which isn't installed",
    "google.cloud.storage.asyncio": "gRPC, which isn't installed",
    "rich._inspect": "a bar of progress inspects nothing",
    "rich._win32_console": "for Windows",
    "rich._windows": "for Windows",
    "rich._windows_renderer": "for Windows",
    "rich.json": "a bar of progress prints no documents",
    "rich.markdown": "a bar of progress prints no documents",
    "rich.prompt": "nobody is asked",
    "rich.rule": "a bar of progress draws no rules",
    "rich.scope": "a bar of progress shows no variables",
    "rich.status": "a bar of progress is another",
    "rich.syntax": "a bar of progress has no source code to colour",
    "rich.traceback": "tracebacks are logged as they are",
    "structlog._greenlets": "needs greenlet, which isn't installed",
    "structlog.twisted": "needs Twisted, which isn't installed",
    "tenacity.tornadoweb": "needs Tornado, which isn't installed",
    "urllib3.contrib.emscripten": "for Python in a browser",
    "urllib3.contrib.pyopenssl": "for another TLS than Python's own, which isn't installed",
    "urllib3.http2.connection": "needs h2, which isn't installed",
    "zstandard._cffi": "for other Pythons",
    "zstandard.backend_cffi": "for other Pythons",
}
"""Imports that are behind a question which the program never answers with yes, and why."""

WITHOUT: Final = {"msgspec._utils": "typing_extensions"}
"""Imports of what the importing module does as well without, on this Python."""


def own_modules(site: Path) -> Iterator[str]:
    """All modules of the program itself."""
    for package in PACKAGES:
        for file in sorted((site / package).rglob("*.py")):
            yield ".".join(file.relative_to(site).with_suffix("").parts).removesuffix(".__init__")


def left_out(clouds: frozenset[str]) -> tuple[str, ...]:
    """The modules that an image for these clouds doesn't have, whoever names them."""
    return (*EXTRAS, *(each for cloud in CLOUDS if cloud not in clouds for each in CLOUDS[cloud]))


def is_below(module: str, tops: tuple[str, ...]) -> bool:
    """Whether it is one of these, or in one of these packages."""
    return any(f"{module}.".startswith(f"{top}.") for top in tops)


def reached(site: Path, clouds: frozenset[str]) -> dict[str, Path]:
    """Each module below ``site`` that the program can import, with its file; of a namespace, its directory."""
    absent = (*left_out(clouds), *NOT_FOLLOWED)
    found: dict[str, Path] = {}
    todo = list(own_modules(site))
    while todo:
        parts = todo.pop().split(".")
        for count in range(1, len(parts) + 1):
            name = ".".join(parts[:count])
            if name in found:
                continue
            file = None if is_below(name, absent) else _file_of(site, name)
            if file is None:
                break
            found[name] = file
            todo.extend(_imported_by(name, file))
    return found


def _file_of(site: Path, name: str) -> Path | None:
    """As Python's own finder looks: a package, an extension, a source; else a namespace."""
    base = site.joinpath(*name.split("."))
    candidates = (base / "__init__.py", *sorted(base.parent.glob(f"{base.name}.*so")))
    for file in (*candidates, base.with_name(f"{base.name}.py")):
        if file.is_file():
            return file
    return base if base.is_dir() else None


def _imported_by(name: str, file: Path) -> Iterator[str]:
    yield from BY_NAME.get(name, ())
    # What was compiled into an extension imports what its source says, which lies beside it.
    source = file if file.suffix == ".py" else file.with_name(f"{file.name.partition('.')[0]}.py")
    if source.is_file():
        package = name if source.name == "__init__.py" else name.rpartition(".")[0]
        tree = ast.parse(source.read_bytes())
        for module, alias in imports(tree, package):
            if module == WITHOUT.get(name):
                continue
            yield module
            if alias:
                yield f"{module}.{alias}"
        if name.partition(".")[0] in PACKAGES:
            yield from _names(tree)


def imports(tree: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    """
    What the import statements of a module of ``package`` name: ``("a", "")`` of ``import a``, and of
    ``from a import b`` ``("a", "b")``, where ``b`` may be a module or not.
    """
    todo = [tree]
    while todo:
        match todo.pop():
            case ast.If(test=test, body=body, orelse=otherwise) if (
                known := _known(test)
            ) is not None:
                todo.extend(body if known else otherwise)
            case ast.Import(names=names):
                yield from ((alias.name, "") for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                above = package.split(".")[: package.count(".") + 2 - level] if level else []
                base = ".".join([*above, *([module] if module else [])])
                yield from ((base, alias.name) for alias in names)
            case node:
                todo.extend(ast.iter_child_nodes(node))


def _known(test: ast.expr) -> bool | None:
    """
    What is known of a condition: of ``TYPE_CHECKING``, of ``__name__ == "__main__"`` in a module that is
    imported, and of a comparison of ``sys.version_info``.
    """
    match test:
        case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
            return False
        case ast.Compare(left=ast.Name(id="__name__")):
            return False
        case ast.Compare(
            left=ast.Attribute(attr="version_info"),
            ops=[ast.GtE() | ast.Lt() as compared],
            comparators=[ast.Tuple() as version],
        ):
            return (sys.version_info >= ast.literal_eval(version)) is isinstance(compared, ast.GtE)
    return None


def _names(tree: ast.AST) -> Iterator[str]:
    """Dotted names among a module's texts: what it hands to ``import_module`` later."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str() as text) if "." in text:
                if all(part.isidentifier() for part in text.split(".")):
                    yield text
