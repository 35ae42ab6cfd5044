"""What the program can't reach is taken away: distributions, modules, and data that is of no use without them."""

import gzip
import json
import os
import shutil
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, Final

SERVICES: Final = ("s3", "sts", "sso", "sso-oidc")
"""What logging in and moving bytes can need; see botocore.credentials for the last three."""
FOR_BUILDS: Final = (".c", ".h", ".pxd", ".pxi", ".pyi", ".pyx", ".typed")
"""Of no use to who only runs it."""
FILES: Final = {
    "botocore/cacert.pem": "certifi's is the one that botocore reads",
    "botocore/data/*/*/examples-1.json": "for its documentation",
    "zstandard/_cffi*": "for other Pythons",
}
"""Files by what they are called below the packages, and why they are left out."""
EMPTIED: Final = {"rich/_emoji_codes.py": "EMOJI = {}\n"}
"""Tables that are imported and hold nothing that is looked up: a bar of progress has no emoji."""
CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"
"""The base's, as Debian's own certifi has them: they are updated with it, and have what was added there."""
METADATA: Final = ("METADATA", "entry_points.txt")
LICENCES: Final = ("LICEN", "NOTICE", "COPYING", "AUTHORS")
"""What a distribution's licence asks to be passed on begins so."""


def leave_out(site: Path, found: dict[str, Path]) -> list[str]:
    """Leave in only what belongs to the modules that are ``found``; the names of the distributions that went."""
    needed = {file for file in found.values() if file.is_file()}
    gone = []
    for distribution in sorted(distributions(path=[str(site)]), key=lambda each: each.name):
        files = _files(distribution)
        is_kept = not needed.isdisjoint(files)
        if not is_kept:
            gone.append(distribution.name)
        packages = {file.parent for file in files if file.name == "__init__.py"}
        for file in files:
            if not (is_kept and _is_kept(file, site, needed, packages)):
                file.unlink(missing_ok=True)
    _leave_out_data(site)
    _shorten_metadata(site)
    _remove_empty(site)
    return gone


def _leave_out_data(site: Path) -> None:
    for name in FILES:
        for file in site.glob(name):
            file.unlink()
    for name, text in EMPTIED.items():
        if (site / name).exists():
            (site / name).write_text(text)
    for bundle in site.glob("certifi/cacert.pem"):
        bundle.unlink()
        bundle.symlink_to(CERTIFICATES)
    if (site / "botocore" / "data" / "endpoints.json").exists():
        _leave_out_services(site / "botocore" / "data")


def _files(distribution: Distribution) -> list[Path]:
    """All that was installed of it, with the scripts; ``RECORD`` is relative to the packages."""
    return [Path(os.path.normpath(str(file.locate()))) for file in distribution.files or ()]


def _is_kept(file: Path, site: Path, needed: set[Path], packages: set[Path]) -> bool:
    if not file.is_relative_to(site):
        return file.name == "lighterman"
    if ".dist-info" in file.relative_to(site).parts[0]:
        return _is_told(file)
    if file.suffix in (".py", ".pyc"):
        return file in needed
    if ".so" in file.suffixes:
        return True
    if file.suffix in FOR_BUILDS:
        return False
    # Data goes with the package that it is in.
    nearest = next((above for above in file.parents if above in packages), None)
    return nearest is None or nearest / "__init__.py" in needed


def _is_told(file: Path) -> bool:
    """Of a distribution's own description: what it is, its licence, and what it was made of."""
    above = file.parent.name
    is_licence = above in ("licenses", "license_files") or file.name.upper().startswith(LICENCES)
    return file.name in METADATA or is_licence or above == "sboms"


def _leave_out_services(data: Path) -> None:
    """What describes AWS's 400 other services, and of these four the prose, which is half of them."""
    for service in data.glob("*/"):
        if service.name not in SERVICES:
            shutil.rmtree(service)
    prefixes = set()
    for packed in sorted(data.glob("*/*/service-2.json.gz")):
        description = _without_prose(json.loads(gzip.decompress(packed.read_bytes())))
        prefixes.add(description["metadata"]["endpointPrefix"])
        _write(packed.with_suffix(""), description)
        packed.unlink()
    endpoints = json.loads((data / "endpoints.json").read_bytes())
    for partition in endpoints["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in services if name in prefixes}
    _write(data / "endpoints.json", endpoints)


def _write(file: Path, document: Any) -> None:
    file.write_text(json.dumps(document, separators=(",", ":")))


def _without_prose(value: Any) -> Any:
    """A description of a service with its documentation empty. It stays where it was: some of it is asked for."""
    if isinstance(value, list):
        return [_without_prose(each) for each in value]
    if isinstance(value, dict):
        # A member may be called so too; then what is there is no text.
        return {
            name: "" if name == "documentation" and isinstance(each, str) else _without_prose(each)
            for name, each in value.items()
        }
    return value


def _shorten_metadata(site: Path) -> None:
    """Name, version, licence and requirements; the README that follows the first blank line isn't for here."""
    for file in site.glob("*.dist-info/METADATA"):
        head, _, _ = file.read_bytes().partition(b"\n\n")
        file.write_bytes(head + b"\n")


def _remove_empty(site: Path) -> None:
    for directory in sorted(_directories(site), reverse=True):
        if directory.name == "__pycache__":
            shutil.rmtree(directory)
        elif not any(directory.iterdir()):
            directory.rmdir()


def _directories(site: Path) -> Iterator[Path]:
    return (path for path in site.rglob("*") if path.is_dir())
