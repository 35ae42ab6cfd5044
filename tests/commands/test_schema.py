"""The schemas take what the reader takes, and refuse what it refuses."""

import copy
import json
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from program import Program

from lighterman.cli import main
from lighterman.connections.model import Connection
from lighterman.connections.shapes import read_catalog
from lighterman.document import parse_document
from lighterman.errors import ConfigurationError
from lighterman.jobspec import job_spec
from lighterman.schemas import DOCUMENTS, schema_of

REPOSITORY = Path(__file__).parents[2]
FENCED = re.compile(r"^```(?:ya?ml|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
READERS = {
    "catalog": lambda data: read_catalog(data, "test"),
    "job": lambda data: job_spec(data, "test"),
}


def _documents(path):
    """Each YAML or JSON document of a file: in a page's fences, or the file itself."""
    text = path.read_text()
    texts = FENCED.findall(text) if path.suffix == ".md" else [text]
    for number, fenced in enumerate(texts):
        for index, data in enumerate(yaml.safe_load_all(fenced)):
            yield f"{path.relative_to(REPOSITORY)}:{number}.{index}", data


def _kind_of(data):
    """Which of the two documents it is; ``None``: neither (a pod, a policy of a bucket)."""
    if not isinstance(data, dict):
        is_catalog = isinstance(data, list) and all("name" in item for item in data)
        return "catalog" if is_catalog else None
    if "apiVersion" in data:
        return None
    if "persistence" in data:
        return "catalog"
    connections = data.get("connections")
    if connections and all(isinstance(item, dict) for item in connections):
        return "catalog"
    return "job" if {"init", "outputs", "run"} & set(data) else None


def _examples():
    pages = [*REPOSITORY.glob("docs/**/*.md"), REPOSITORY / "README.md"]
    files = [*REPOSITORY.glob("examples/**/*.yaml"), *REPOSITORY.glob("examples/**/*.json")]
    # A chart's values, of which connections are one among others: tests/test_drop_ins.py reads them.
    files.remove(REPOSITORY / "examples" / "drop-ins" / "polyaxon" / "values.yaml")
    for path in sorted(pages + files):
        for name, data in _documents(path):
            if isinstance(data, dict) and data.get("kind") == "ConfigMap":
                for file, text in data["data"].items():
                    yield f"{name}:{file}", yaml.safe_load(text)
            else:
                yield name, data


EXAMPLES = [
    pytest.param(kind, data, id=name) for name, data in _examples() if (kind := _kind_of(data))
]


def _complaints(document, data):
    return [error.message for error in Draft202012Validator(schema_of(document)).iter_errors(data)]


@pytest.mark.parametrize(("document", "data"), EXAMPLES)
def test_every_example_is_taken(document, data):
    """Every example in docs/ and examples/ is valid by its own schema and by the one of both."""
    READERS[document](data)
    assert [] == _complaints(document, data)
    assert [] == _complaints(None, data)


def test_there_are_examples_of_both():
    """The pages are really looked at."""
    kinds = [example.values[0] for example in EXAMPLES]
    assert kinds.count("catalog") >= 2
    assert kinds.count("job") >= 2


@pytest.mark.parametrize("document", [*DOCUMENTS, None])
def test_the_schema_is_itself_valid(document):
    """It is JSON Schema 2020-12."""
    Draft202012Validator.check_schema(schema_of(document))


S3 = {"name": "a", "kind": "s3", "schema": {"bucket": "b"}}
ZENML = {"name": "a", "flavor": "s3", "path": "s3://b/p"}
TAKEN_CATALOGS = [
    [],
    [S3],
    {"connections": []},
    {"connections": [S3], "persistence": {}},
    [S3 | {"schema": {"bucket": "s3://b/p/q"}, "env": {"A": "b"}, "tags": "x, y"}],
    [S3 | {"env": [{"name": "A", "value": "b"}, {"name": "B"}], "tags": ["x"]}],
    [S3 | {"secret": {"name": "s", "mountPath": "/s", "items": ["k"], "defaultMode": 256}}],
    [S3 | {"configMap": {"name": "s"}, "description": None, "annotations": {"a": "b"}}],
    [S3 | {"options": {"client_kwargs": '{"verify": false}', "config_kwargs": {"a": [1]}}}],
    [{"name": "g", "kind": "gcs", "schema": {"bucket": "gs://b"}}],
    [{"name": "w", "kind": "wasb", "schema": {"bucket": "wasbs://c@acc.blob.core.windows.net/p"}}],
    [{"name": "w", "kind": "azure", "schema": {"bucket": "https://acc.blob.core.windows.net/c/p"}}],
    [{"name": "w", "kind": "azure", "schema": {"bucket": "$web"}}],
    [{"name": "v", "kind": "volume_claim", "schema": {"volumeClaim": "v", "mountPath": "/v"}}],
    [
        {
            "name": "h",
            "kind": "host_path",
            "schema": {"hostPath": "/h", "mountPath": "/v", "readOnly": True},
        }
    ],
    [ZENML],
    [ZENML | {"key": "k", "secret": "s", "token": None, "client_kwargs": "{}"}],
    [ZENML | {"flavor": "gcp", "path": "gs://b/p", "authentication_secret": "s"}],
    [{"name": "l", "flavor": "local", "path": "/p"}],
    [{"name": "l", "flavor": "local", "path": "file:///p"}],
    {
        "persistence": {
            "outputs": {"store": "s3", "bucket": "s3://b", "secret": "s", "secretKey": "k"},
            "data": {
                "one": {"mountPath": "/one", "hostPath": "/srv/one", "readOnly": True},
                "two": {"mountPath": "/two", "existingClaim": "claim"},
                "three": {"store": "azure", "bucket": "wasbs://c@acc.blob.core.windows.net/"},
            },
        }
    },
    {"persistence": {"outputs": {"named": {"store": "gcs", "bucket": "gs://b"}}}},
]
REFUSED_CATALOGS = [
    None,
    {},
    "text",
    {"connection": [S3]},
    {"connections": S3},
    {"connections": [S3], "more": 1},
    [{"name": "a", "kind": "s3"}],
    [S3 | {"kind": "s4"}],
    [S3 | {"kind": "ftp"}],
    [S3 | {"buckets": "b"}],
    [S3 | {"name": ""}],
    [S3 | {"name": ".."}],
    [S3 | {"name": "a/b"}],
    [S3 | {"name": "s3://b"}],
    [S3 | {"name": 1}],
    [S3 | {"schema": "b"}],
    [S3 | {"schema": {"bucket": "gs://b"}}],
    [S3 | {"schema": {"bucket": ""}}],
    [S3 | {"schema": {"bucket": "user:pass@b"}}],
    [S3 | {"schema": {"bucket": "b", "prefix": "p"}}],
    [S3 | {"schema": {"volumeClaim": "v", "mountPath": "/v"}}],
    [S3 | {"secret": "s"}],
    [S3 | {"secret": {"mountPath": "/s"}}],
    [S3 | {"secret": {"name": "s", "mountPath": "s"}}],
    [S3 | {"secret": {"name": "s", "path": "/s"}}],
    [S3 | {"secret": {"name": "s", "defaultMode": "0400"}}],
    [S3 | {"env": [{"name": "A", "valueFrom": {"fieldRef": {}}}]}],
    [S3 | {"env": [{"name": "A", "value": 1}]}],
    [S3 | {"env": {"A": 1}}],
    [S3 | {"options": {"adressing_style": "path"}}],
    [S3 | {"options": {"addressing_style": "dns"}}],
    [S3 | {"options": {"anonymous": "true"}}],
    [S3 | {"options": {"client_kwargs": "[]"}}],
    [S3 | {"tags": [1]}],
    [{"name": "g", "kind": "gcs", "schema": {"bucket": "s3://b"}}],
    [{"name": "w", "kind": "wasb", "schema": {"bucket": "https://example.com/c"}}],
    [{"name": "v", "kind": "volume_claim", "schema": {"volumeClaim": "v", "mountPath": "v"}}],
    [{"name": "v", "kind": "volume_claim", "schema": {"hostPath": "/v", "mountPath": "/v"}}],
    [{"name": "h", "kind": "host_path", "schema": {"hostPath": "h", "mountPath": "/v"}}],
    [ZENML | {"flavor": "s4"}],
    [ZENML | {"path": "gs://b"}],
    [ZENML | {"keys": "k"}],
    [ZENML | {"flavor": "gcp", "path": "gs://b", "key": "k"}],
    [{"name": "l", "flavor": "local", "path": "p"}],
    {"persistence": []},
    {"persistence": {"logs": {}}},
    {"persistence": {"data": {"x": {}}}},
    {"persistence": {"data": {"x": {"store": "s3"}}}},
    {"persistence": {"data": {"x": {"store": "s3", "bucket": "b", "mountPath": "/m"}}}},
    {"persistence": {"data": {"x": {"store": "s3", "bucket": "b", "secretKey": "k"}}}},
    {"persistence": {"data": {"x": {"hostPath": "/h"}}}},
    {"persistence": {"data": {"x": {"hostPath": "/h", "mountPath": "m"}}}},
    {"persistence": {"data": {"x": {"hostPath": "/h", "mountPath": "/m", "existingClaim": "c"}}}},
    {"persistence": {"outputs": {"store": "ftp", "bucket": "b"}}},
]
INIT = {"connection": "a"}
OUTPUT = {"connection": "a", "path": "/o"}
TAKEN_JOBS = [
    {},
    {"kind": "job", "inputs": {"x": 1}},
    {"run": None},
    {"init": None, "run": {"init": [INIT]}},
    {"init": []},
    {"init": [INIT]},
    {"init": [INIT | {"path": "/d", "optional": True, "include": None}]},
    {"init": [INIT | {"unpack": "tar.zst"}]},
    {"init": [INIT | {"include": "*.csv", "exclude": ["tmp/", "!keep"]}]},
    *(
        {"init": [INIT | {"cache": cache}]}
        for cache in (
            "/c",
            None,
            {"path": "/c"},
            {"path": "/c", "size": " 1.5 GiB "},
            {"path": "c", "size": 7},
        )
    ),
    {"init": [{"connection": "s3://b/p", "path": "/d"}]},
    {"init": [INIT | {"artifacts": {"dirs": ["a", ["b", "c"], {"from": "d", "to": "e"}]}}]},
    {"init": [INIT | {"artifacts": {"files": ["a"], "dirs": [], "workers": 3}}]},
    {"init": [INIT | {"artifacts": {"workers": 3}}]},
    {"run": {"container": {"image": "x"}, "connections": ["a"], "outputs": OUTPUT}},
    {"outputs": [OUTPUT, OUTPUT | {"to": "runs/{pod}"}]},
    {"outputs": []},
    *(
        {"init": [INIT | {"shard": {"index": index, "count": count}}]}
        for index, count in [(0, 8), ("$I", "${N}"), ("$(I)", "8")]
    ),
    {"init": [INIT | {"shard": None}]},
]
REFUSED_JOBS = [
    [],
    "text",
    {"run": []},
    {"init": {}},
    {"init": [{}]},
    {"init": ["a"]},
    {"init": [{"connection": " "}]},
    {"init": [{"connection": "s3://b/p"}]},
    {"init": [INIT | {"path": ""}]},
    {"init": [INIT | {"paths": "/d"}]},
    {"init": [INIT | {"optional": "yes"}]},
    *(
        {"init": [INIT | {"cache": cache}]}
        for cache in (
            "",
            {},
            {"path": ""},
            {"path": "/c", "size": "lots"},
            {"path": "/c", "size": -1},
            7,
        )
    ),
    {"init": [INIT | {"artifacts": {}}]},
    {"init": [INIT | {"artifacts": {"dirs": []}}]},
    {"init": [INIT | {"artifacts": {"dirs": [], "workers": 2}}]},
    {"init": [INIT | {"artifacts": {"dirs": [""]}}]},
    {"init": [INIT | {"artifacts": {"dirs": [["a"]]}}]},
    {"init": [INIT | {"artifacts": {"dirs": [["a", ""]]}}]},
    {"init": [INIT | {"artifacts": {"files": [{"from": "a"}]}}]},
    {"init": [INIT | {"artifacts": {"files": [{"from": "a", "to": ""}]}}]},
    {"init": [INIT | {"artifacts": {"files": "a"}}]},
    {"init": [INIT | {"artifacts": {"dirs": ["a"], "workers": 0}}]},
    {"init": [INIT | {"artifacts": {"folders": ["a"]}}]},
    {"init": [INIT], "run": {"init": [INIT]}},
    {"connections": [{"name": "a"}]},
    {"outputs": {"connection": "a"}},
    {"outputs": {"connection": "", "path": "/o"}},
    {"outputs": OUTPUT | {"path": ""}},
    {"outputs": OUTPUT | {"prefix": "p"}},
    {"outputs": OUTPUT | {"to": 1}},
    *(
        {"init": [INIT | {"shard": {"index": index, "count": count}}]}
        for index, count in [
            ("I", 8),
            (-1, 8),
            ("$I", "8 "),
            ("$(I", 8),
            (10**9, 8),
            (True, 8),
            (1.5, 8),
        ]
    ),
    {"init": [INIT | {"shard": {"index": 0}}]},
    {"init": [INIT | {"shard": "0/8"}]},
    {"init": [INIT | {"include": []}]},
    {"init": [INIT | {"exclude": ["*", "!/"]}]},
    {"init": [INIT | {"include": ""}]},
    {"init": [INIT | {"unpack": "tgz"}]},
]


def _reader_takes(document, data):
    try:
        READERS[document](data)
    except ConfigurationError:
        return False
    return True


@pytest.mark.parametrize(
    ("document", "data", "is_taken"),
    [
        *(("catalog", data, True) for data in TAKEN_CATALOGS),
        *(("catalog", data, False) for data in REFUSED_CATALOGS),
        *(("job", data, True) for data in TAKEN_JOBS),
        *(("job", data, False) for data in REFUSED_JOBS),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_the_schema_and_the_reader_agree(document, data, is_taken):
    """What the reader takes the schema takes, and what it refuses the schema refuses."""
    assert is_taken == _reader_takes(document, data)
    assert is_taken == (not _complaints(document, data))


VALUES = [None, 1, -1, 1.5, True, "", "x", "/x", "s3://x", [], ["x"], [1], {}, {"x": 1}]


def _mutants(data):
    """The document with each of its members replaced, taken away, and given a member too many."""
    yield from VALUES
    if not isinstance(data, dict | list):
        return
    if isinstance(data, dict):
        yield data | {"more": "x"}
    for step in list(data) if isinstance(data, dict) else range(len(data)):
        shorter = copy.copy(data)
        del shorter[step]
        yield shorter
        for mutant in _mutants(data[step]):
            changed = copy.copy(data)
            changed[step] = mutant
            yield changed


@pytest.mark.parametrize(
    ("document", "data"),
    [
        *(("catalog", data) for data in TAKEN_CATALOGS),
        *(("job", data) for data in TAKEN_JOBS),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_they_agree_about_every_slip(document, data):
    """Whatever one member is mistaken for, the schema refuses it where the reader does, and only there."""
    validator = Draft202012Validator(schema_of(document))
    for mutant in _mutants(data):
        assert _reader_takes(document, mutant) == validator.is_valid(mutant), mutant


@pytest.mark.parametrize("data", [data for data in TAKEN_CATALOGS + TAKEN_JOBS if data])
def test_one_schema_tells_the_two_apart(data):
    """An editor may have one schema for both."""
    assert [] == _complaints(None, data)


@pytest.mark.parametrize("argument", ["catalog", "job", None])
def test_it_is_printed(argument, tmp_path, capsys):
    """`lighterman schema` prints JSON, and nothing else."""
    report = tmp_path / "report"
    argv = ["schema", *([argument] if argument else []), "--report", str(report)]
    assert 0 == main(argv, {})
    assert schema_of(argument) == json.loads(capsys.readouterr().out)
    assert "done" == json.loads(report.read_text())["status"]


def test_another_document_is_a_wrong_command_line(tmp_path):
    """64 usage."""
    finished = Program(tmp_path, {}).run("schema", "pod")
    assert 64 == finished.code
    assert "'pod'" in finished.report["error"]["message"]


def test_what_the_program_prints_can_be_read_by_the_reader_of_documents(tmp_path):
    """It is JSON without surprises: no key twice, nothing nested too deep."""
    printed = Program(tmp_path, {}).run("schema").stdout
    assert schema_of(None) == parse_document(printed, "schema", only_json=True)


def test_connections_of_the_examples_are_of_this_projects_kinds():
    """A catalog's examples become connections, none of them foreign."""
    for example in EXAMPLES:
        document, data = example.values
        if document == "catalog":
            assert all(isinstance(item, Connection) for item in read_catalog(data, "test"))
