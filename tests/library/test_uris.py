"""Whole URIs as paths of a filesystem."""

import pytest

from lighterman.library.uris import bucket_path, volume_path


@pytest.mark.parametrize(
    ("kind", "uri", "path"),
    [
        ("s3", "s3://b/p/a b.csv", "b/p/a b.csv"),
        ("s3", "s3://b", "b"),
        ("s3", "s3://b/p/*.csv", "b/p/*.csv"),
        ("s3", "p/a.csv", None),
        ("s3", "gs://b/p", None),
        ("gcs", "gs://b/p", "b/p"),
        ("gcs", "gcs://b/p", "b/p"),
        ("wasb", "abfs://c/p", "c/p"),
        ("wasb", "wasbs://c@acct.blob.core.windows.net/p", "c/p"),
        ("wasb", "https://acct.blob.core.windows.net/c/p%20q", "c/p q"),
    ],
)
def test_a_uri_is_a_path_in_its_bucket(kind, uri, path):
    """Every form in which a connection's place can be written."""
    assert path == bucket_path(kind, "acct")(uri)


def test_another_account_is_no_place_of_this_one():
    """A container of the same name elsewhere isn't meant."""
    with pytest.raises(ValueError, match="another account"):
        bucket_path("wasb", "acct")("wasbs://c@other.blob.core.windows.net/p")


@pytest.mark.parametrize(
    ("uri", "path"),
    [("file:///a/b%20c", "/a/b c"), ("file://localhost/a", "/a"), ("a/b", None), ("/a", None)],
)
def test_a_file_uri_is_a_path(uri, path):
    """As everywhere else, percent-encoding is decoded."""
    assert path == volume_path(uri)
