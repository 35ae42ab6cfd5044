"""Which catalog is found, and what is found in it."""

import json

import pytest

from lighterman.connections.catalog import Catalog, find_connection, load_catalog
from lighterman.connections.model import Bucket
from lighterman.errors import ConfigurationError, ExitCode


def entry(name: str = "a", bucket: str = "b") -> dict[str, object]:
    return {"name": name, "kind": "s3", "schema": {"bucket": bucket}}


@pytest.fixture
def places(tmp_path):
    """Each of the four places, with a connection `a` whose bucket tells where it was found."""
    files = {}
    for name in ("flag", "variable", "default"):
        files[name] = tmp_path / f"{name}.yaml"
        files[name].write_text(json.dumps({"connections": [entry(bucket=name)]}))
    environ = {
        "LIGHTERMAN_CATALOG": str(files["variable"]),
        "POLYAXON_CONNECTIONS_CATALOG": json.dumps([entry(bucket="polyaxon")]),
    }
    return {name: str(path) for name, path in files.items()}, environ


def bucket_of(catalog: Catalog) -> str:
    schema = catalog.get("a").schema
    assert isinstance(schema, Bucket)
    return schema.bucket


def test_the_first_place_that_has_a_catalog_wins(places):
    """First found wins: the flag, the variable, the default path, Polyaxon's variable."""
    files, environ = places
    found = [bucket_of(Catalog(files["flag"], environ, files["default"]))]
    found.append(bucket_of(Catalog(None, environ, files["default"])))
    del environ["LIGHTERMAN_CATALOG"]
    found.append(bucket_of(Catalog(None, environ, files["default"])))
    found.append(bucket_of(Catalog(None, environ, files["default"] + ".absent")))
    assert ["flag", "variable", "default", "polyaxon"] == found


@pytest.mark.parametrize(
    "document",
    [
        json.dumps([entry()]),
        json.dumps({"connections": [entry()]}),
        "connections: [{name: a, kind: s3, schema: {bucket: b}}]",
        "- {name: a, kind: s3, schema: {bucket: b}}",
        "# mine\nconnections:\n- name: a\n  kind: s3\n  schema: {bucket: b}\n",
    ],
)
def test_the_variable_holds_a_path_or_the_document_itself(document, tmp_path):
    """$LIGHTERMAN_CATALOG is a path or the document itself, YAML or JSON, with connections or the bare list."""
    assert "b" == bucket_of(load_catalog(None, {"LIGHTERMAN_CATALOG": document}))
    path = tmp_path / "c"
    path.write_text(document)
    assert "b" == bucket_of(load_catalog(None, {"LIGHTERMAN_CATALOG": str(path)}))


def test_the_flag_as_its_variable_filled_it_in_may_be_the_document_too():
    """Every flag takes its default from its variable: --catalog then holds what the variable holds."""
    document = json.dumps([entry()])
    assert "b" == bucket_of(load_catalog(document, {"LIGHTERMAN_CATALOG": document}))


def test_a_flag_or_variable_that_names_no_file_is_an_error_and_no_fallback(tmp_path, places):
    """A catalog that was asked for and isn't there is never passed over."""
    files, environ = places
    absent = str(tmp_path / "absent")
    with pytest.raises(ConfigurationError, match=r"absent: there is no such catalog$"):
        Catalog(absent, environ, files["default"]).get("a")
    with pytest.raises(ConfigurationError, match=r"no such catalog of \$LIGHTERMAN_CATALOG"):
        Catalog(None, {"LIGHTERMAN_CATALOG": absent}, files["default"]).get("a")


def test_a_uri_needs_no_catalog_and_reads_none(tmp_path):
    """A URI as name needs no catalog at all and reads none, be it broken or absent."""
    broken = tmp_path / "broken.yaml"
    broken.write_text("[")
    find = find_connection(str(broken), {"LIGHTERMAN_CATALOG": "{"})
    assert Bucket("s3://b/p") == find("s3://b/p").schema
    with pytest.raises(ConfigurationError, match=r"broken\.yaml:2:1: not YAML"):
        find("a")


def test_the_catalog_is_read_once_at_the_first_name(tmp_path):
    """Loading is lazy, and happens once."""
    path = tmp_path / "c.yaml"
    find = find_connection(str(path), {})
    path.write_text(json.dumps([entry()]))
    first = find("a")
    path.unlink()
    assert first is find("a")


def test_an_unknown_connection_is_a_configuration_error_with_the_nearest_name(tmp_path):
    """78, with the nearest name and where the catalog was found."""
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps([entry("s3-dataset1"), entry("other")]))
    with pytest.raises(ConfigurationError) as caught:
        load_catalog(str(path), {}).get("s3-datset1")
    error = caught.value
    assert ExitCode.CONFIGURATION == error.exit_code
    assert f"no connection 's3-datset1' in the catalog {path}" == error.message
    assert ("did you mean s3-dataset1?", "s3-datset1") == (error.hint, error.connection)
    with pytest.raises(ConfigurationError) as caught:
        load_catalog(str(path), {}).get("zzz")
    assert "it has: s3-dataset1, other" == caught.value.hint


def test_an_unknown_connection_without_any_catalog_says_where_one_was_looked_for(tmp_path):
    """Without a catalog, the places that were looked at are named."""
    with pytest.raises(ConfigurationError) as caught:
        Catalog(None, {"LIGHTERMAN_CATALOG": ""}, str(tmp_path / "none.yaml")).get("a")
    assert (
        "no connection 'a': there is no catalog; looked at --catalog, $LIGHTERMAN_CATALOG, "
        f"{tmp_path}/none.yaml and $POLYAXON_CONNECTIONS_CATALOG" == caught.value.message
    )
    assert "give a catalog, or a URI in place of the name" == caught.value.hint


def test_an_empty_list_of_connections_says_so():
    """A catalog without connections is named as what it is."""
    with pytest.raises(ConfigurationError) as caught:
        load_catalog(None, {"LIGHTERMAN_CATALOG": "[]"}).get("a")
    assert "no connection 'a' in the catalog $LIGHTERMAN_CATALOG" == caught.value.message
    assert "it has no connections at all" == caught.value.hint


def test_a_name_that_stands_twice_is_an_error_that_names_both_places():
    """Duplicate names are an error."""
    document = {
        "connections": [entry("x"), entry("a"), entry("a")],
    }
    with pytest.raises(ConfigurationError) as caught:
        load_catalog(None, {"LIGHTERMAN_CATALOG": json.dumps(document)}).get("x")
    assert (
        "$LIGHTERMAN_CATALOG: connections[2]: there is another connection 'a' at connections[1]"
        == caught.value.message
    )


def test_polyaxons_variable_may_hold_kinds_that_hold_no_files():
    """The image works under Polyaxon as it is: a git connection beside the bucket only matters at its use."""
    catalog = [entry(), {"name": "repo", "kind": "git", "schema": {"url": "https://x"}}]
    environ = {"POLYAXON_CONNECTIONS_CATALOG": json.dumps(catalog)}
    find = find_connection(None, environ)
    assert "a" == find("a").name
    with pytest.raises(ConfigurationError) as caught:
        find("repo")
    assert "the connection 'repo' holds no files: its kind is git" == caught.value.message
    with pytest.raises(ConfigurationError, match=r"connections\[1\]\.kind: not one of"):
        load_catalog(None, {"LIGHTERMAN_CATALOG": json.dumps({"connections": catalog})}).get("a")


def test_polyaxons_variable_is_json():
    """$POLYAXON_CONNECTIONS_CATALOG is the JSON list."""
    with pytest.raises(ConfigurationError, match=r"^\$POLYAXON_CONNECTIONS_CATALOG:1:1: not JSON"):
        load_catalog(None, {"POLYAXON_CONNECTIONS_CATALOG": "- x"}).get("a")


def test_an_error_in_one_entry_is_never_passed_over():
    """Nothing is silently ignored: a malformed entry is an error also when another one is asked for."""
    document = json.dumps([entry(), {**entry("c"), "optoins": {}}])
    with pytest.raises(ConfigurationError, match=r"\[1\]\.optoins: unknown field"):
        load_catalog(None, {"LIGHTERMAN_CATALOG": document}).get("a")
