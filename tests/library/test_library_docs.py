"""What docs/library.md and examples/library.py say is run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from catalogs import NAME, write_catalog
from pyarrow import parquet

import lighterman

REPOSITORY = Path(__file__).parents[2]
BLOCKS = re.findall(
    r"^```python\n(.*?)^```$",
    (REPOSITORY / "docs" / "library.md").read_text(),
    re.MULTILINE | re.DOTALL,
)


def run(directory, catalog, *command):
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LIGHTERMAN_CATALOG": str(catalog), "PYTHONPATH": str(REPOSITORY)},
    )
    assert (0, False) == (done.returncode, "Traceback" in done.stderr), done.stderr
    return done.stdout


@pytest.fixture
def directory(tmp_path):
    """Where somebody works who has results."""
    (tmp_path / "work" / "out").mkdir(parents=True)
    (tmp_path / "work" / "out" / "model.bin").write_bytes(b"weights")
    return tmp_path / "work"


def test_the_blocks_of_the_page_run(directory, catalog):
    """One after the other, in one program, over every kind; warnings are errors."""
    (directory / "page.py").write_text("\n".join(BLOCKS))
    printed = run(directory, catalog, "page.py")
    assert len(BLOCKS) >= 6
    assert "runs/1/model.bin 7 2" in printed
    assert "none.bin" in printed
    assert b"weights" == (directory / "cache" / "model.bin").read_bytes()


def test_every_public_name_is_on_the_page():
    """Calls, arguments and what they return."""
    page = (REPOSITORY / "docs" / "library.md").read_text()
    names = [name for name in vars(lighterman.Place) if not name.startswith("_")]
    names += lighterman.Transferred.__struct_fields__
    names += [*lighterman.Entry.__struct_fields__, "is_directory", "connect", "get_fs"]
    assert [] == [name for name in names if name not in page]


def test_the_example_runs(directory, s3_bucket, tmp_path):
    """It reads from one connection in place, and uploads to another."""
    catalog = write_catalog(
        tmp_path / "c.json", s3_bucket.connection(NAME), s3_bucket.connection("results", "r")
    )
    parquet.write_table(pa.table({"a": [1, 2, 3]}), tmp_path / "a.parquet")
    s3_bucket.put("train/a.parquet", (tmp_path / "a.parquet").read_bytes())
    printed = run(directory, catalog, str(REPOSITORY / "examples" / "library.py"), NAME, "results")
    assert "2 files" in printed
    assert b'{"rows": 3}' == s3_bucket.get("r/runs/1/metrics.json")


def test_it_says_that_it_is_typed():
    """`py.typed`: mypy believes the annotations; tests/typing/api.py is checked by `make lint`."""
    assert (Path(lighterman.__file__).parent / "py.typed").is_file()
