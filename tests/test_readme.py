"""The README is a promise too: every command in it works as pasted, every place it names is there."""

import re
import subprocess
import time

import pytest
from pasting import REPOSITORY, SECRET, Shell, environment_of, make_clone
from servers.buckets import S3Bucket

README = (REPOSITORY / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
INSTEAD = {"make test": "make --dry-run test"}
"""This test is itself part of ``make test``."""
MOST_SECONDS = 120
"""`make demo` on a clean clone in under 2 minutes including set-up; nothing else takes longer."""


@pytest.fixture
def clone(tmp_path):
    """What a fresh clone holds, in a directory with a space in its name."""
    return make_clone(tmp_path)


@pytest.fixture
def reader(clone, moto_endpoint):
    """Somebody with a bucket, whose credentials are in the environment, at a shell in a fresh clone."""
    S3Bucket(moto_endpoint, "my-bucket").create()
    return Shell(clone, environment_of(moto_endpoint))


def test_every_command_works_as_pasted(reader, subtests):
    """The sh blocks, one after the other in a fresh clone, with a bucket of the reader's own."""
    assert BLOCKS
    for block in BLOCKS:
        with subtests.test(msg=block.strip()):
            begun = time.monotonic()
            code, printed = reader.paste(INSTEAD.get(block.strip(), block))
            assert code == 0, printed
            assert time.monotonic() - begun < MOST_SECONDS
            assert SECRET not in printed


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
