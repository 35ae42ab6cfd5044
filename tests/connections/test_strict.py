"""Strict decoding: the place, what is wrong there, and the nearest valid name."""

from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lighterman.errors import ConfigurationError
from lighterman.secret import Secret
from lighterman.strict import decode, nearest, suggestion, under

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            texts | st.sampled_from(["name", "inner", "many", "pair", "kind", "from"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


class Inner(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    mount_path: str
    read_only: bool = False


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    kind: Literal["s3", "gcs", "volume_claim"] = "s3"
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    named: dict[str, Inner] = {}
    texts: dict[str, str] = {}
    mixed: tuple[str | tuple[str, str] | Inner, ...] = ()
    either: tuple[Inner, ...] | dict[str, str] = ()
    pair: tuple[str, Inner] | None = None
    key: Secret | None = None
    free: dict[str, object] = {}


def said_of(data: object) -> str | None:
    try:
        decode(data, Outer, "origin")
    except ConfigurationError as error:
        return error.message
    return None


@pytest.mark.parametrize(
    ("data", "said", "hint"),
    [
        ({}, "f: at.name: missing", "it is required there"),
        ({"name": 1}, "f: at.name: expected text, got a whole number", "quote it"),
        ({"name": True}, "f: at.name: expected text, got true or false", "quote it"),
        (
            {"name": None},
            "f: at.name: expected text, got nothing",
            "give it a value, or take it out",
        ),
        ([], "f: at: expected a mapping, got a list", "write it as a mapping: {name: value}"),
        ("x", "f: at: expected a mapping, got text", "write it as a mapping: {name: value}"),
        (None, "f: at: expected a mapping, got nothing", "give it a value, or take it out"),
        ({"nam": "a"}, "f: at.nam: unknown field", "did you mean name?"),
        (
            {"name": "a", "inner": {"mount_path": "/"}},
            "f: at.inner.mount_path: unknown field",
            "did you mean mountPath?",
        ),
        (
            {"name": "a", "inner": {"xyz": "/"}},
            "f: at.inner.xyz: unknown field",
            "valid fields: mountPath, readOnly",
        ),
        ({"name": "a", "inner": {}}, "f: at.inner.mountPath: missing", "it is required there"),
        (
            {"name": "a", "many": [{"mountPath": "/"}, {"mountPath": 2}]},
            "f: at.many[1].mountPath: expected text, got a whole number",
            "quote it",
        ),
        (
            {"name": "a", "many": [{"mountPath": "/", "readonl": 1}]},
            "f: at.many[0].readonl: unknown field",
            "did you mean readOnly?",
        ),
        (
            {"name": "a", "named": {"x": {"mountPath": "/"}, "my-set": {"mountPth": "/"}}},
            "f: at.named.my-set.mountPth: unknown field",
            "did you mean mountPath?",
        ),
        (
            {"name": "a", "texts": {"ok": "1", "b c": 2}},
            "f: at.texts['b c']: expected text, got a whole number",
            "quote it",
        ),
        ({"name": "a", "texts": {1: "x"}}, "f: at.texts: a key that isn't text", "quote it"),
        (
            {"name": "a", "kind": "volumeclaim"},
            "f: at.kind: not one of gcs, s3, volume_claim",
            "did you mean volume_claim?",
        ),
        (
            {"name": "a", "kind": "ftp"},
            "f: at.kind: not one of gcs, s3, volume_claim",
            "valid values: gcs, s3, volume_claim",
        ),
        (
            {"name": "a", "mixed": ["x", ["a"]]},
            "f: at.mixed[1]: expected a list of length 2, got 1",
            "give it as many members",
        ),
        (
            {"name": "a", "mixed": [3]},
            "f: at.mixed[0]: expected text or a mapping or a list, got a whole number",
            "quote it",
        ),
        (
            {"name": "a", "mixed": [{"mountpath": ""}]},
            "f: at.mixed[0].mountpath: unknown field",
            "did you mean mountPath?",
        ),
        (
            {"name": "a", "either": {"k": 1}},
            "f: at.either.k: expected text, got a whole number",
            "quote it",
        ),
        (
            {"name": "a", "either": [{"mountPath": ""}, {"a": ""}]},
            "f: at.either[1].a: unknown field",
            "valid fields: mountPath, readOnly",
        ),
        (
            {"name": "a", "pair": ["x", {"q": 1}]},
            "f: at.pair[1].q: unknown field",
            "valid fields: mountPath, readOnly",
        ),
        ({"name": "a", "key": 1}, "f: at.key: expected text", "quote it"),
        (
            {"name": "a", "inner": {"mountPath": "", "readOnly": "yes"}},
            "f: at.inner.readOnly: expected true or false, got text",
            "write true or false, without quotes",
        ),
    ],
)
def test_an_error_names_the_place_what_is_wrong_and_the_mend(data, said, hint):
    """An unknown field is an error that names the field, its place and the nearest valid one."""
    with pytest.raises(ConfigurationError) as caught:
        decode(data, Outer, "f", "at")
    assert (said, hint) == (caught.value.message, caught.value.hint)


def test_what_fits_is_decoded():
    """Valid data become the struct; text becomes a Secret where one is asked for; free members stay."""
    data = {
        "name": "a",
        "key": "hunter22",
        "free": {"x": [1, None]},
        "pair": ["p", {"mountPath": "/"}],
    }
    outer = decode(data, Outer, "f")
    expected = Outer("a", key=Secret("hunter22"), free={"x": [1, None]}, pair=("p", Inner("/")))
    assert expected == outer
    assert "hunter22" not in repr(outer)


@given(anything)
def test_no_data_raises_anything_but_a_configuration_error(data):
    """Strict decoding never raises anything but ConfigurationError, which begins with the origin."""
    said = said_of(data)
    assert said is None or said.startswith("origin: ")


@given(
    st.fixed_dictionaries(
        {"name": st.just("a")},
        optional={
            "named": st.dictionaries(texts, anything, max_size=4),
            "texts": st.dictionaries(texts, anything, max_size=4),
            "either": anything,
            "mixed": anything,
            "many": anything,
            "free": anything,
        },
    )
)
def test_near_misses_raise_nothing_but_a_configuration_error(data):
    """The same for data that go deep before they fail."""
    said = said_of(data)
    assert said is None or said.startswith("origin: ")


@pytest.mark.parametrize(
    ("place", "steps", "expected"),
    [
        ("", ("a",), "a"),
        ("a", ("b", 1, "c-d"), "a.b[1].c-d"),
        ("", (0, "a b"), "[0]['a b']"),
        ("a", ("",), "a['']"),
        ("a", (), "a"),
    ],
)
def test_a_place_reads_like_a_path(place, steps, expected):
    """Names are joined by dots, indexes and odd keys stand in brackets."""
    assert expected == under(place, *steps)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("endpont", "endpoint"),
        ("mount_path", "mountPath"),
        ("MOUNTPATH", "mountPath"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_the_nearest_name_is_found_across_styles(name, expected):
    """Case and underscores don't count when the nearest name is looked for."""
    assert expected == nearest(name, ["endpoint", "mountPath", "region"])


def test_a_hint_lists_the_valid_names_where_none_is_near():
    """Otherwise the list of valid ones; and nothing where there are none."""
    assert suggestion("zzz", ["b", "a"], "valid") == "valid: b, a"
    assert suggestion("zzz", [], "valid") == ""
