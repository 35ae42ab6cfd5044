"""What a job spec says to Lighterman, and what it may not say."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lighterman.connections.catalog import load_catalog
from lighterman.errors import ConfigurationError
from lighterman.jobspec import (
    Artifacts,
    Cache,
    InitEntry,
    JobSpec,
    Output,
    Wanted,
    job_spec,
    load_job_spec,
)

EXAMPLES = Path(__file__).parent.parent / "examples"
SPEC = """
version: 1.1
kind: component
name: train
run:
  kind: job
  connections: [s3-dataset1]
  init:
    - connection: s3-dataset1
      artifacts: {dirs: [train, [val, validation]], files: [labels.csv, {from: a/b.txt, to: b.txt}], workers: 64}
      path: /data
    - connection: nothing-declared
      include: "*.csv"
      exclude: [tmp/, "!keep"]
      unpack: auto
      optional: true
    - {connection: "s3://bucket/model", path: /models}
  container: {image: main, command: [python]}
  outputs: {connection: s3-out, path: /outputs, to: "runs/{pod}"}
"""
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=10)
names = st.sampled_from(
    [
        "run",
        "init",
        "connections",
        "outputs",
        "connection",
        "artifacts",
        "dirs",
        "files",
        "workers",
        "from",
        "to",
        "path",
        "include",
        "exclude",
        "shard",
        "index",
        "count",
        "optional",
        "unpack",
        "cache",
    ]
)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | texts | st.sampled_from(["s3://b", "s3://", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | texts, inner, max_size=6),
    max_leaves=25,
)


def test_a_job_spec_is_read_whole(tmp_path):
    """The init block, the connections and the outputs; the rest describes the main container."""
    path = tmp_path / "job.yaml"
    path.write_text(SPEC)
    expected = JobSpec(
        init=(
            InitEntry(
                connection="s3-dataset1",
                artifacts=Artifacts(
                    dirs=(Wanted("train", None), Wanted("val", "validation")),
                    files=(Wanted("labels.csv", None), Wanted("a/b.txt", "b.txt")),
                    workers=64,
                ),
                path="/data",
            ),
            InitEntry(
                connection="nothing-declared",
                include=("*.csv",),
                exclude=("tmp/", "!keep"),
                unpack="auto",
                optional=True,
            ),
            InitEntry(connection="s3://bucket/model", path="/models"),
        ),
        connections=("s3-dataset1",),
        outputs=(Output(connection="s3-out", path="/outputs", to="runs/{pod}"),),
    )
    assert expected == load_job_spec(str(path))


@pytest.mark.parametrize(
    "nest", [lambda data: data, lambda data: {"run": data}], ids=["top", "run"]
)
def test_our_blocks_stand_at_the_top_or_under_run(nest):
    """The init block stands under run.init or init, and so do the others; outputs may be a list."""
    data = {
        "init": [{"connection": "a", "artifacts": {"workers": 3}}],
        "connections": ["a", "b"],
        "outputs": [
            {"connection": "a", "path": "/x"},
            {"connection": "b", "path": "/y", "to": "z"},
        ],
    }
    assert JobSpec(
        init=(InitEntry(connection="a", artifacts=Artifacts(workers=3)),),
        connections=("a", "b"),
        outputs=(Output(connection="a", path="/x"), Output(connection="b", path="/y", to="z")),
    ) == job_spec(nest(data), "j")


@pytest.mark.parametrize(
    ("written", "cache"),
    [
        (None, None),
        ("/c", Cache("/c", None)),
        ({"path": "/c"}, Cache("/c", None)),
        ({"path": "/c", "size": "1.5GiB"}, Cache("/c", 3 << 29)),
        ({"path": "/c", "size": 4096}, Cache("/c", 4096)),
    ],
)
def test_a_cache_is_a_directory_or_one_with_a_size(written, cache):
    """`cache: DIR`, or `cache: {path: DIR, size: SIZE}`."""
    assert job_spec({"init": [ENTRY | {"cache": written}]}, "j").init[0].cache == cache


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"run": None},
        {"run": {}},
        {"init": None, "outputs": None, "connections": None},
        {"inputs": [], "name": "x", "run": {"kind": "job", "container": {}}},
    ],
)
def test_a_spec_without_our_blocks_asks_for_nothing(data):
    """Other members of a job spec belong to others."""
    assert JobSpec() == job_spec(data, "j")


ENTRY = {"connection": "a"}


@pytest.mark.parametrize(
    ("data", "said", "hint"),
    [
        (None, "no job spec: it is empty", "see the README for an example"),
        ([], "expected a mapping, got a list", "write it as a mapping: {name: value}"),
        (
            {"run": []},
            "run: expected a mapping, got a list",
            "write it as a mapping: {name: value}",
        ),
        ({"ouputs": {}}, "ouputs: unknown field", "did you mean outputs?"),
        ({"Init": []}, "Init: unknown field", "did you mean init?"),
        (
            {"run": {"connection": "a"}},
            "run.connection: unknown field",
            "did you mean connections?",
        ),
        (
            {"init": [ENTRY], "run": {"init": [ENTRY]}},
            "init: stands at the top and under run: init",
            "keep one of them",
        ),
        (
            {"connections": "a"},
            "connections: expected a list, got text",
            "write it as a list: [...]",
        ),
        (
            {"run": {"connections": [1]}},
            "run.connections[0]: expected text, got a whole number",
            "quote it",
        ),
        ({"init": ENTRY}, "init: expected a list, got a mapping", "write it as a list: [...]"),
        (
            {"run": {"init": ["a"]}},
            "run.init[0]: expected a mapping, got text",
            "write it as a mapping: {name: value}",
        ),
        (
            {"init": [ENTRY, {"conection": "a"}]},
            "init[1].conection: unknown field",
            "did you mean connection?",
        ),
        ({"init": [{}]}, "init[0].connection: missing", "it is required there"),
        (
            {"init": [{"connection": " "}]},
            "init[0].connection: empty",
            "give the name of a connection, or a URI",
        ),
        (
            {"init": [{"connection": "s3://b"}]},
            "init[0].path: missing",
            "a URI gives no directory its name: say which",
        ),
        (
            {"init": [{"connection": "s3://", "path": "/x"}]},
            "init[0].connection: s3:// names no bucket",
            "write s3://BUCKET/PREFIX",
        ),
        ({"init": [{**ENTRY, "path": ""}]}, "init[0].path: empty", "give a directory"),
        (
            {"init": [{**ENTRY, "artifact": {}}]},
            "init[0].artifact: unknown field",
            "did you mean artifacts?",
        ),
        (
            {"init": [{**ENTRY, "artifacts": {"dir": ["x"]}}]},
            "init[0].artifacts.dir: unknown field",
            "did you mean dirs?",
        ),
        (
            {"init": [{**ENTRY, "artifacts": {}}]},
            "init[0].artifacts: declares nothing",
            "name dirs or files, or leave artifacts out for the connection's whole root",
        ),
        (
            {"init": [{**ENTRY, "artifacts": {"dirs": [], "workers": 2}}]},
            "init[0].artifacts: declares nothing",
            "name dirs or files, or leave artifacts out for the connection's whole root",
        ),
        (
            {"init": [{**ENTRY, "artifacts": {"dirs": "x"}}]},
            "init[0].artifacts.dirs: expected a list, got text",
            "write it as a list: [...]",
        ),
        (
            {"init": [{**ENTRY, "artifacts": {"dirs": [["a"]]}}]},
            "init[0].artifacts.dirs[0]: expected a list of length 2, got 1",
            "give it as many members",
        ),
        (
            {"init": [{**ENTRY, "artifacts": {"files": ["x", {"from": "a", "too": "b"}]}}]},
            "init[0].artifacts.files[1].too: unknown field",
            "did you mean to?",
        ),
        (
            {"init": [{**ENTRY, "artifacts": {"files": ["x", {"from": "a"}]}}]},
            "init[0].artifacts.files[1].to: missing",
            "it is required there",
        ),
        (
            {"init": [{**ENTRY, "artifacts": {"files": [2024]}}]},
            "init[0].artifacts.files[0]: expected text or a mapping or a list, got a whole number",
            "quote it",
        ),
        (
            {"init": [{**ENTRY, "artifacts": {"files": [""]}}]},
            "init[0].artifacts.files[0]: an empty path",
            "the root is written as .",
        ),
        (
            {"init": [{**ENTRY, "artifacts": {"dirs": [["a", ""]]}}]},
            "init[0].artifacts.dirs[0]: an empty path",
            "the root is written as .",
        ),
        (
            {"init": [{**ENTRY, "artifacts": {"dirs": ["a"], "workers": 0}}]},
            "init[0].artifacts.workers: too few",
            "a whole number from 1 up",
        ),
        (
            {"init": [{**ENTRY, "include": ["*", ""]}]},
            "init[0].include: '' matches nothing",
            "write a glob like *.ckpt, cache/ or /runs/**/debug",
        ),
        (
            {"init": [{**ENTRY, "exclude": []}]},
            "init[0].exclude: an empty list",
            "name what is meant, or leave it out",
        ),
        (
            {"init": [{**ENTRY, "unpack": True}]},
            "init[0].unpack: expected text, got true or false",
            "quote it",
        ),
        (
            {"init": [{**ENTRY, "shard": {"index": "I", "count": 8}}]},
            "init[0].shard.index: 'I' is no number and no variable",
            "write a whole number, or a variable like $JOB_COMPLETION_INDEX",
        ),
        (
            {"init": [{**ENTRY, "shard": {"index": 0, "count": -8}}]},
            "init[0].shard.count: -8 is no number and no variable",
            "write a whole number, or a variable like $JOB_COMPLETION_INDEX",
        ),
        (
            {"init": [{**ENTRY, "cache": ""}]},
            "init[0].cache: empty",
            "give a directory of the node",
        ),
        (
            {"init": [{**ENTRY, "cache": {"path": "/c", "size": "lots"}}]},
            "init[0].cache.size: 'lots' is no size; write bytes or a size like 64MiB",
            "write a size like 100GiB",
        ),
        (
            {"init": [{**ENTRY, "cache": {"path": "/c", "limit": 1}}]},
            "init[0].cache.limit: unknown field",
            "valid fields: path, size",
        ),
        (
            {"init": [{**ENTRY, "unpack": "tgz"}]},
            "init[0].unpack: not one of auto, tar, tar.gz, tar.zst, zip",
            "did you mean tar.gz?",
        ),
        (
            {"init": [{**ENTRY, "shard": {"indx": 1, "count": 8}}]},
            "init[0].shard.indx: unknown field",
            "did you mean index?",
        ),
        (
            {"outputs": "x"},
            "outputs: expected a mapping, got text",
            "write it as a mapping: {name: value}",
        ),
        ({"outputs": {"connection": "a"}}, "outputs.path: missing", "it is required there"),
        (
            {"outputs": {"connection": "a", "path": ""}},
            "outputs.path: empty",
            "give the directory that main writes to",
        ),
        (
            {"outputs": [{"connection": "a", "path": "/x", "too": "y"}]},
            "outputs[0].too: unknown field",
            "did you mean to?",
        ),
        (
            {"run": {"outputs": {"connection": "gs://", "path": "/x"}}},
            "run.outputs.connection: gs:// names no bucket",
            "write gs://BUCKET/PREFIX",
        ),
    ],
)
def test_an_error_in_a_spec_names_its_place_and_mend(data, said, hint):
    """Unknown fields inside our blocks, and whatever isn't there yet: nothing is silently ignored."""
    with pytest.raises(ConfigurationError) as caught:
        job_spec(data, "j.yaml")
    assert (f"j.yaml: {said}", hint) == (caught.value.message, caught.value.hint)


@given(documents)
def test_no_spec_raises_anything_but_a_configuration_error(document):
    """Whatever a spec holds: a JobSpec, or a ConfigurationError that begins with its origin."""
    said = None
    try:
        job_spec(document, "origin")
    except ConfigurationError as error:
        said = error.message
    assert said is None or said.startswith("origin: ")


@given(st.dictionaries(names, documents, max_size=6))
def test_no_entry_raises_anything_but_a_configuration_error(entry):
    """The same for entries that begin well."""
    said = None
    try:
        job_spec({"init": [{**ENTRY, **entry}], "run": {"outputs": {**ENTRY, **entry}}}, "origin")
    except ConfigurationError as error:
        said = error.message
    assert said is None or said.startswith("origin: ")


def test_a_spec_may_be_json(tmp_path):
    """A job spec is YAML or JSON; an absent one is named."""
    path = tmp_path / "job.json"
    path.write_text(json.dumps({"outputs": {"connection": "a", "path": "/x"}}))
    assert (Output(connection="a", path="/x"),) == load_job_spec(str(path)).outputs
    with pytest.raises(ConfigurationError, match="there is no such job spec"):
        load_job_spec(str(tmp_path / "absent.yaml"))


def test_the_examples_are_valid():
    """The example spec loads, and the connections that it names are in the example catalog."""
    spec = load_job_spec(str(EXAMPLES / "job.yaml"))
    catalog = load_catalog(str(EXAMPLES / "connections.yaml"), {})
    used = {*spec.connections, *(entry.connection for entry in spec.init)}
    used |= {output.connection for output in spec.outputs}
    assert {"s3-dataset1"} == {catalog.get(name).name for name in used}
    assert ("s3", "host_path") == (catalog.get("minio").kind, catalog.get("scratch").kind)
