"""`include` and `exclude`: what of a declared directory comes."""

import json

import pytest
from pulls import Pull, gets

TREE = {
    "train/a.parquet": b"1",
    "train/a.csv": b"2",
    "train/deep/b.parquet": b"3",
    "train/deep/tmp/c.parquet": b"4",
    "val/d.parquet": b"5",
    "val/e.csv": b"6",
}


@pytest.fixture
def proxy(proxy_to, moto_endpoint):
    """Counts what passes."""
    return proxy_to(moto_endpoint)


@pytest.fixture
def pull(s3_bucket, tmp_path, proxy):
    """Init of a bucket with ``TREE``, through the proxy."""
    for key, body in TREE.items():
        s3_bucket.put(key, body)
    return Pull(s3_bucket, tmp_path, proxy.url)


def test_only_what_is_included_and_not_excluded_comes(pull, proxy):
    """Matched below each declared dir, wherever it goes; nothing else is asked for."""
    flags = ("--dir", "train:here", "--dir", "val", "--include", "*.parquet", "--include", "/e.csv")
    finished = pull.run(*flags, "--exclude", "tmp/")
    assert finished.code == 0, finished.stderr
    assert sorted(pull.files()) == [
        "here/a.parquet", "here/deep/b.parquet", "val/d.parquet", "val/e.csv",
    ]  # fmt: skip
    assert (finished.report["files"], len(gets(proxy))) == (4, 4)


def test_a_job_spec_says_it_of_its_entry(pull, tmp_path):
    """`include: ["**/*.parquet"]`; a file that is declared by its name comes whatever the globs say."""
    (tmp_path / "job.json").write_text(
        json.dumps(
            {
                "init": [
                    {
                        "connection": pull.uri,
                        "path": str(pull.dest),
                        "artifacts": {"dirs": ["train"], "files": ["val/e.csv"]},
                        "include": ["**/*.parquet"],
                        "exclude": "deep",
                    }
                ]
            }
        )
    )
    finished = pull.program.run("init", "--spec", tmp_path / "job.json")
    assert finished.code == 0, finished.stderr
    assert sorted(pull.files()) == ["train/a.parquet", "val/e.csv"]


def test_kserves_two_positionals_take_them_too(pull):
    """Below the prefix that the URI names."""
    arguments = ("init", f"{pull.uri}/train", pull.dest, "--include", "/*.csv")
    assert pull.program.run(*arguments).code == 0
    assert sorted(pull.files()) == ["a.csv"]


def test_what_is_left_out_stands_in_nobodys_way(pull, proxy):
    """Keys that could not be placed, and archived ones, aren't looked at when they are left out."""
    for key in ("bad//x.parquet", "../y.parquet", "val/d.parquet/below"):
        pull.bucket.put(key, b"x")
    pull.bucket.put("cold.parquet", b"x", StorageClass="GLACIER")
    assert pull.run("--include", "*.parquet").code == 65
    globs = ("bad", "..", "below", "/cold*")
    finished = pull.run("--include", "*.parquet", *(f"--exclude={glob}" for glob in globs))
    assert finished.code == 0, finished.stderr
    assert len(pull.files()) == 4


def test_a_choice_that_leaves_nothing_is_a_missing_source(pull, proxy, tmp_path):
    """66, with how many objects there are; unless the entry is optional."""
    finished = pull.run("--dir", "train", "--dir", "val", "--include", "*.csv", "--exclude", "/a*")
    assert finished.code == 66
    assert (
        f"nothing is there: 'train/' in connection '{pull.uri}' "
        "(4 objects are there, and include and exclude leave none)"
    ) in finished.report["error"]["message"]
    assert gets(proxy) == []
    assert not pull.dest.exists()
    entry = {"connection": pull.uri, "path": str(pull.dest), "include": "*.png", "optional": True}
    (tmp_path / "job.json").write_text(json.dumps({"init": [entry]}))
    assert pull.program.run("init", "--spec", tmp_path / "job.json").code == 0


def test_the_dirs_own_marker_is_nothing_that_was_chosen(pull):
    """66: a directory of which only its marker is left holds nothing that was asked for."""
    pull.bucket.put("val/", b"")
    finished = pull.run("--dir", "val", "--include", "*.png")
    assert (finished.code, "2 objects are there" in finished.report["error"]["message"]) == (
        66,
        True,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--connection", "c", "--include", "!"), 64, "--include: '!' matches nothing"),
        (("--connection", "c", "--exclude", "/"), 64, "--exclude: '/' matches nothing"),
        (("--spec", "j.yaml", "--include", "*"), 64, "--include can't stand beside --spec"),
    ],
)
def test_globs_that_are_off(program, arguments, code, said):
    """64 by its flag, before anything is opened."""
    finished = program.run("init", *arguments)
    assert (finished.code, said in finished.report["error"]["message"]) == (code, True)


def test_a_glob_of_a_job_spec_that_is_off(program, tmp_path):
    """78 by its place."""
    (tmp_path / "job.yaml").write_text("init: [{connection: bucket, include: ['*.csv', '!/']}]")
    finished = program.run("init", "--spec", tmp_path / "job.yaml")
    assert finished.code == 78
    assert "init[0].include: '!/' matches nothing" in finished.report["error"]["message"]
