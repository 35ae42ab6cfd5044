"""YAML and JSON into plain data: what is refused, where, and without quoting the document."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lighterman.document import DEEPEST, LARGEST_BYTES, parse_document, read_document
from lighterman.errors import ConfigurationError

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


def refusal(text: str, **options) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        parse_document(text, "c.yaml", **options)
    return caught.value


def said_of(text: str) -> str | None:
    try:
        parse_document(text, "c.yaml")
    except ConfigurationError as error:
        return error.message
    return None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: b: c", "c.yaml:1:5: not YAML: mapping values are not allowed in this context"),
        (
            "x: 1\na: [1",
            "c.yaml:3:1: not YAML: while parsing a flow sequence: did not find expected ',' or ']'",
        ),
        ("a: 1\nb: 2\na: 3", "c.yaml:3:1: not YAML: the same key stands twice in one mapping"),
        ("a: {b: 1, b: 1}", "c.yaml:1:11: not YAML: the same key stands twice in one mapping"),
        ("on: 1", "c.yaml:1:1: not YAML: a key that isn't text: quote it"),
        ("? [a]\n: 1", "c.yaml:1:3: not YAML: a key that isn't text: quote it"),
        ("a: &x [*x]", "c.yaml:1:4: not YAML: found unconstructable recursive node"),
        ("a: &x {b: *x}", "c.yaml:1:4: not YAML: found unconstructable recursive node"),
        (
            "a: !!python/name:os.system",
            "c.yaml:1:4: not YAML: could not determine a constructor for the tag",
        ),
        ("a: !!set {b}", "c.yaml:1:4: not YAML: could not determine a constructor for the tag"),
        ("a: !!binary YQ==", "c.yaml:1:4: not YAML: could not determine a constructor for the tag"),
        ("a: *hunter2", "c.yaml:1:4: not YAML: found undefined alias"),
        (
            "a: 1\n---\nb: 2",
            "c.yaml:2:1: not YAML: expected a single document in the stream: but found another document",
        ),
        ("a: !!int x", "c.yaml: not YAML: a value that isn't what its tag says"),
        ("a: !!bool x", "c.yaml: not YAML: a value that isn't what its tag says"),
        ("a: \0", "c.yaml: not YAML: characters that YAML doesn't allow"),
        (
            "'abc",
            "c.yaml:1:5: not YAML: while scanning a quoted scalar: found unexpected end of stream",
        ),
    ],
)
def test_a_yaml_error_says_file_line_and_column(text, said):
    """A syntax error says file, line, column."""
    assert said == refusal(text).message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1,\n "b" 2}', "c.yaml:2:6: not JSON: Expecting ':' delimiter"),
        ("", "c.yaml:1:1: not JSON: Expecting value"),
        ('{"a": 1, "a": 1}', "c.yaml: the key 'a' stands twice in one object"),
        ('{"a": NaN}', "c.yaml: NaN and Infinity are no JSON"),
        ('{"a": "\\ud800"}', "c.yaml: text with half of a surrogate pair"),
        ("[" * 100_000, "c.yaml: not JSON that can be read: RecursionError"),
        (f"[{'9' * 5000}]", "c.yaml: not JSON that can be read: ValueError"),
        ("[" * 70 + "]" * 70, "c.yaml: nested deeper than 64 levels"),
    ],
)
def test_a_json_error_says_file_line_and_column_where_they_are_known(text, said):
    """A syntax error says file, line, column; a document that can't be meant is refused."""
    assert said == refusal(text, only_json=True).message


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, "- " * 90_000, "\n".join(" " * level + "a:" for level in range(2000))],
    ids=["flow", "block", "mappings"],
)
def test_deep_nesting_is_an_error_and_no_crash(text):
    """A document nested thousands of levels deep ends with a message, not with a signal."""
    assert "nested deeper than 64 levels" in refusal(text).message


def test_what_looks_like_json_but_is_yaml_is_read_as_yaml():
    """Flow-style YAML begins like JSON and is taken all the same."""
    assert parse_document("[{name: a, kind: s3}]", "c") == [{"name": "a", "kind": "s3"}]


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a: 2024-01-01", {"a": "2024-01-01"}),
        ("a: '0400'", {"a": "0400"}),
        ("mode: 0400", {"mode": 0o400}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("base: &x {b: 1}\nc: {<<: *x, d: 2}", {"base": {"b": 1}, "c": {"b": 1, "d": 2}}),
        ("a: ~\nb: yes\nc: 1.5\nd: [x]", {"a": None, "b": True, "c": 1.5, "d": ["x"]}),
        ("", None),
        ("# nothing", None),
    ],
)
def test_yaml_becomes_plain_data(text, data):
    """Dates stay text, modes are octal as in Kubernetes, anchors and merges work."""
    assert data == parse_document(text, "c")


@given(plain)
def test_json_comes_through_unchanged(data):
    """Any JSON document of plain data is what json makes of it."""
    assert data == parse_document(json.dumps(data), "c", only_json=True)


@given(st.text(max_size=60))
def test_no_text_raises_anything_but_a_configuration_error(text):
    """Whatever the text: data, or a ConfigurationError that begins with the origin."""
    said = said_of(text)
    assert said is None or said.startswith("c.yaml:")


@pytest.mark.parametrize(
    "text", ["a: 'hunter2", "a: [hunter2", "b: {a: hunter2 : x: y}", "a: *hunter2", "!hunter2 a"]
)
def test_a_syntax_error_never_quotes_the_document(text):
    """No value of the document is ever quoted in an error, since it may be a credential."""
    error = refusal(text)
    assert "hunter2" not in error.message + error.hint
    assert error.__cause__ is None
    assert error.__suppress_context__


def test_json_is_read_without_yaml():
    """JSON documents are parsed without importing yaml."""
    code = (
        "import sys; from lighterman.document import parse_document;"
        "parse_document('{\"a\": [1]}', 'c'); sys.exit('yaml' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_files_that_cannot_be_read_are_named(tmp_path):
    """An absent file, a directory, a binary and an overlong one: each is named with its mend."""
    binary = tmp_path / "binary"
    binary.write_bytes(b"a: \xff")
    large = tmp_path / "large"
    large.write_bytes(b"#" * (LARGEST_BYTES + 1))
    cases = {
        tmp_path / "absent": "there is no such catalog",
        tmp_path: "the catalog can't be read: Is a directory",
        binary: "the catalog isn't UTF-8 text (byte 3)",
        large: "a catalog of more than 8 MiB",
    }
    for path, said in cases.items():
        with pytest.raises(ConfigurationError) as caught:
            read_document(str(path), what="catalog")
        assert f"{path}: {said}" == caught.value.message
    with pytest.raises(ConfigurationError, match="no path of a catalog"):
        read_document("a\0b", what="catalog")


def test_a_json_file_is_json_and_a_byte_order_mark_is_no_part_of_it(tmp_path):
    """A .json file is never taken for YAML; editors' byte order marks are skipped."""
    path = tmp_path / "c.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_document(str(path), what="catalog") == {"a": 1}
    path.write_text("a: 1")
    with pytest.raises(ConfigurationError, match="not JSON"):
        read_document(str(path), what="catalog")


def test_the_depth_that_is_allowed_is_read():
    """64 levels are read, by both parsers."""
    text = "[" * DEEPEST + "]" * DEEPEST
    assert parse_document(text, "c", only_json=True) == parse_document(f"# yaml\n{text}", "c")
