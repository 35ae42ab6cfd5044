"""The README is a promise too: every command in it works as pasted, every place it names is there."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from servers.buckets import S3Bucket

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
INSTEAD = {"make test": "make --dry-run test"}
"""This test is itself part of ``make test``."""
MOST_SECONDS = 120
"""`make demo` on a clean clone in under 2 minutes including set-up; nothing else takes longer."""
OWN = ("AWS_", "LIGHTERMAN_", "COVERAGE", "COV_CORE", "PYTEST", "MAKE", "MFLAGS", "PYTHONPATH")
AMBIENT = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
"""Kept: what a machine needs to reach its package index. Taken before any fixture bares it."""


@pytest.fixture
def clone(tmp_path):
    """What a fresh clone holds, in a directory with a space in its name."""
    ignored = [line.strip("/") for line in (REPOSITORY / ".gitignore").read_text().split()]
    clone = tmp_path / "a clone"
    shutil.copytree(REPOSITORY, clone, ignore=shutil.ignore_patterns(".git", *ignored))
    return clone


@pytest.fixture
def reader(clone, moto_endpoint):
    """Somebody with a bucket, whose credentials are in the environment, at a shell in a fresh clone."""
    S3Bucket(moto_endpoint, "my-bucket").create()
    return Shell(
        clone,
        AMBIENT
        | {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        | {
            "PYTHON": sys.executable,
            "AWS_ENDPOINT_URL": moto_endpoint,
            "AWS_ACCESS_KEY_ID": "reader",
            "AWS_SECRET_ACCESS_KEY": "not-to-be-printed",
            "AWS_REGION": "us-east-1",
            "NO_PROXY": f"127.0.0.1,{AMBIENT.get('NO_PROXY', '')}",
        },
    )


class Shell:
    """Blocks run one after the other; what one exports, and where it goes, holds for the next."""

    def __init__(self, directory, environ):
        self._directory = directory
        self._environ = environ
        self._state = directory.parent / "state.sh"
        self._state.write_text("")

    def paste(self, block):
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


def test_every_command_works_as_pasted(reader, subtests):
    """The sh blocks, one after the other in a fresh clone, with a bucket of the reader's own."""
    assert BLOCKS
    for block in BLOCKS:
        with subtests.test(msg=block.strip()):
            begun = time.monotonic()
            code, printed = reader.paste(INSTEAD.get(block.strip(), block))
            assert code == 0, printed
            assert time.monotonic() - begun < MOST_SECONDS
            assert "not-to-be-printed" not in printed


@pytest.mark.parametrize(
    "link", sorted(set(re.findall(r"\]\((?!https?:|#)([^)#]+)", README))) or ["README.md"]
)
def test_every_linked_file_is_there(link):
    """Links to files of this project lead somewhere."""
    assert (REPOSITORY / link).exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z][a-z0-9-]*)`", README))))
def test_every_make_target_that_is_mentioned_exists(target, clone):
    """`make X` in the text is a target of the Makefile."""
    done = subprocess.run(
        ["make", "--dry-run", target], cwd=clone, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
