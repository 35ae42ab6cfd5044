"""
The last step of the image's build stage: leaves out the data that nothing here can use, and
compiles what will be imported, so that a container with a read-only root never compiles at its start.

    finish-image.py ROOT    run by the program's own Python; what it compiles of the standard library
                            goes below ROOT, at the path where the final image has that library

The compiled files are not checked against their sources (PEP 552): in an image neither ever changes.
"""

import ast
import compileall
import contextlib
import importlib
import pkgutil
import py_compile
import shutil
import sys
import sysconfig
from importlib.util import cache_from_source
from pathlib import Path

PACKAGES = ("lighterman", "initializer", "sidecar")
SERVICES = {"s3", "sts", "sso", "sso-oidc"}
"""What logging in and moving bytes can need; see botocore.credentials for the last three."""
EXTRAS = {"adlfs", "aiobotocore", "aiohttp", "fsspec", "gcsfs", "s3fs"}
"""Of ``lighterman[fsspec]``: for programs that use the library, not for the image."""
LEXERS = {"__init__.py", "_mapping.py"}
"""Rich brings pygments, which colours source code; a bar of progress has none."""


def leave_out_data(site_packages: Path) -> None:
    """The descriptions of 400 other AWS services, and of programming languages; zstandard for other Pythons."""
    for data in (site_packages / "botocore" / "data", site_packages / "boto3" / "data"):
        for service in data.iterdir():
            if service.is_dir() and service.name not in SERVICES:
                shutil.rmtree(service)

    for lexer in (site_packages / "pygments" / "lexers").glob("*.py"):
        if lexer.name not in LEXERS:
            lexer.unlink()

    for backend in (site_packages / "zstandard").glob("*cffi*"):
        backend.unlink()


def import_what_is_used() -> None:
    """Everything that the program can import, at its start or later."""
    for package in PACKAGES:
        path = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(path, f"{package}."):
            if not module.name.endswith(".__main__"):
                import_unless_extra(module.name)
        for source in Path(path[0]).rglob("*.py"):
            import_names_in(source)

    import boto3

    session = boto3.Session("id", "secret", region_name="us-east-1")
    for service in SERVICES:
        session.client(service)


def import_names_in(source: Path) -> None:
    """The imports of one file, those inside functions too. One that fails would fail at run time."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                import_unless_extra(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module:
            import_unless_extra(node.module)
            for alias in node.names:
                # Most are names in that module, some are modules below it.
                with contextlib.suppress(ModuleNotFoundError):
                    importlib.import_module(f"{node.module}.{alias.name}")


def import_unless_extra(module: str) -> None:
    """Import it; what needs an extra can't be used here, and isn't."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRAS:
            raise


def compile_standard_library(root: Path) -> int:
    """Compiles the imported modules of the standard library to below ``root``; how many."""
    library = Path(sysconfig.get_path("stdlib"))
    compiled = 0
    for module in list(sys.modules.values()):
        source = getattr(module, "__file__", None) or ""
        if source.endswith(".py") and Path(source).is_relative_to(library):
            target = root / Path(cache_from_source(source)).relative_to("/")
            py_compile.compile(
                source,
                str(target),
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
            compiled += 1
    return compiled


def main() -> None:
    site_packages = Path(sysconfig.get_path("purelib"))
    leave_out_data(site_packages)
    import_what_is_used()
    compiled = compile_standard_library(Path(sys.argv[1]))
    if not compileall.compile_dir(
        site_packages,
        quiet=1,
        force=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    ):
        raise SystemExit("some of the installed packages don't compile")
    print(f"compiled {compiled} modules of the standard library, and all that is installed")


if __name__ == "__main__":
    main()
