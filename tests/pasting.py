"""A reader at a shell, who pastes one block of a page after the other."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
OWN = ("AWS_", "LIGHTERMAN_", "COVERAGE", "COV_CORE", "PYTEST", "MAKE", "MFLAGS", "PYTHONPATH")
AMBIENT = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
"""Kept: what a machine needs to reach its package index. Taken before any fixture bares it."""
SECRET = "not-to-be-printed"


def make_clone(directory: Path) -> Path:
    """What a fresh clone holds, in a directory with a space in its name."""
    ignored = [line.strip("/") for line in (REPOSITORY / ".gitignore").read_text().split()]
    clone = directory / "a clone"
    shutil.copytree(REPOSITORY, clone, ignore=shutil.ignore_patterns(".git", *ignored))
    return clone


def environment_of(endpoint: str) -> dict[str, str]:
    """The reader's, with keys for the S3 server at ``endpoint``."""
    own = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    return {
        **AMBIENT,
        **own,
        "PYTHON": sys.executable,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "reader",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": f"127.0.0.1,{AMBIENT.get('NO_PROXY', '')}",
    }


class Shell:
    """Blocks run one after the other; what one exports, and where it goes, holds for the next."""

    def __init__(self, directory: Path, environ: dict[str, str]) -> None:
        self._directory = directory
        self._environ = environ
        self._state = directory.parent / "state.sh"
        self._state.write_text("")

    def paste(self, block: str) -> tuple[int, str]:
        """Run the commands up to the first that fails; gives exit code and all that was printed."""
        state = f"'{self._state}'"
        leave = f"{{ export -p; echo \"cd '$PWD'\"; }} > {state}"
        done = subprocess.run(
            ["sh", "-c", f". {state}\nset -ex\n{block}\nset +x\n{leave}"],
            cwd=self._directory,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout


def commands_in(text: str) -> list[str]:
    """The commands of a ``console`` block: lines after ``$ ``, with those that a backslash joins to them."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return [line.removeprefix("$ ") for line in joined.splitlines() if line.startswith("$ ")]
