"""Places as URIs, and buckets with prefixes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lighterman.connections.model import Bucket, HostPath
from lighterman.connections.uri import BucketPath, connection_of, is_uri, parse_bucket
from lighterman.errors import ConfigurationError
from lighterman.secret import Secret

buckets = st.from_regex(r"[a-z0-9][a-z0-9.-]{1,30}[a-z0-9]", fullmatch=True)
prefixes = st.text(st.characters(exclude_categories=("Cs",)), max_size=30).map(
    lambda text: text.strip("/")
)
AZURE = "acc0unt.blob.core.windows.net"


@pytest.mark.parametrize(
    ("uri", "kind", "path"),
    [
        ("s3://bucket", "s3", BucketPath("bucket", "")),
        ("s3://bucket/", "s3", BucketPath("bucket", "")),
        ("s3://bucket/a/b/", "s3", BucketPath("bucket", "a/b")),
        ("s3://bucket/a//b", "s3", BucketPath("bucket", "a//b")),
        ("s3://bucket/a/../b?c#d %20", "s3", BucketPath("bucket", "a/../b?c#d %20")),
        ("s3://bucket/x@y:z", "s3", BucketPath("bucket", "x@y:z")),
        ("gs://bucket_1/a", "gcs", BucketPath("bucket_1", "a")),
        (
            f"https://{AZURE}/box/a%20b",
            "wasb",
            BucketPath("box", "a b", "acc0unt", "core.windows.net"),
        ),
        (
            "https://acc0unt.blob.core.usgovcloudapi.net/box",
            "wasb",
            BucketPath("box", "", "acc0unt", "core.usgovcloudapi.net"),
        ),
        (f"wasbs://box@{AZURE}/a", "wasb", BucketPath("box", "a", "acc0unt", "core.windows.net")),
        (f"wasb://box@{AZURE}", "wasb", BucketPath("box", "", "acc0unt", "core.windows.net")),
        (
            "abfs://box@acc0unt.dfs.core.windows.net/a",
            "wasb",
            BucketPath("box", "a", "acc0unt", "core.windows.net"),
        ),
        (
            "abfss://$web@acc0unt.dfs.core.windows.net",
            "wasb",
            BucketPath("$web", "", "acc0unt", "core.windows.net"),
        ),
        ("az://box/a?b", "wasb", BucketPath("box", "a?b")),
    ],
)
def test_a_uri_is_a_connection_with_ambient_credentials(uri, kind, path):
    """Wherever a connection's name is taken, a URI is taken too, with ambient credentials."""
    connection = connection_of(uri)
    assert (uri, kind, Bucket(uri), {}, "uri") == (
        connection.name,
        connection.kind,
        connection.schema,
        connection.env,
        connection.origin,
    )
    assert path == parse_bucket(kind, uri)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:10000/devstoreaccount1",
        "https://127.0.0.1:10000/devstoreaccount1",
        "http://[::1]:10000/devstoreaccount1",
        "http://localhost/devstoreaccount1",
        "http://azurite:10000/devstoreaccount1",
    ],
)
def test_an_emulators_uri_names_account_and_container(endpoint):
    """Azurite's endpoint form, with the account in the path."""
    assert BucketPath("box", "a b/c", "devstoreaccount1", "", endpoint) == parse_bucket(
        "wasb", f"{endpoint}/box/a%20b/c/"
    )


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///data/x", "/data/x"),
        ("file:///", "/"),
        ("file://localhost/data", "/data"),
        ("file:///my%20data", "/my data"),
    ],
)
def test_a_file_uri_is_a_local_directory(uri, path):
    """file:///p is a path, percent-decoded."""
    connection = connection_of(uri)
    assert (uri, "host_path") == (connection.name, connection.kind)
    assert HostPath(host_path=path, mount_path=path) == connection.schema


@given(buckets, prefixes)
def test_a_bucket_and_prefix_come_back_from_their_uri(bucket, prefix):
    """Prefixes are exact: nothing inside them is normalised away."""
    connection = connection_of(f"s3://{bucket}/{prefix}")
    assert isinstance(connection.schema, Bucket)
    assert BucketPath(bucket, prefix) == parse_bucket("s3", connection.schema.bucket)
    assert connection == connection_of(connection.name)


@given(
    st.sampled_from(
        [
            "s3://",
            "gs://",
            "https://",
            "http://localhost/",
            "wasbs://",
            "az://",
            "file://",
            "file:",
            "S3://",
            "",
        ]
    ),
    st.text(max_size=30),
)
def test_any_uri_is_a_connection_or_a_configuration_error(scheme, rest):
    """A URI is taken or refused with a message and a hint, whatever is in it."""
    uri = scheme + rest
    if not is_uri(uri):
        return
    refused = None
    try:
        connection_of(uri)
    except ConfigurationError as error:
        refused = error
    assert refused is None or (refused.message and refused.hint)


@pytest.mark.parametrize(
    ("kind", "text", "path"),
    [
        ("s3", "bucket", BucketPath("bucket", "")),
        ("s3", "bucket/a//b/", BucketPath("bucket", "a//b")),
        ("s3", "s3://bucket/a", BucketPath("bucket", "a")),
        ("gcs", "bucket/a", BucketPath("bucket", "a")),
        ("wasb", "box/a", BucketPath("box", "a")),
    ],
)
def test_a_schema_names_its_bucket_in_three_ways(kind, text, path):
    """A bucket with an optional prefix is a URI, bucket/prefix, or the bare bucket."""
    assert path == parse_bucket(kind, text)


@pytest.mark.parametrize(
    ("uri", "said", "hint"),
    [
        ("ftp://x/y", "ftp://x/y: a place can't be named so", "known are s3://"),
        ("S3://b/p", "S3://b/p: a place can't be named so", "write s3://"),
        ("s3a://b/p", "s3a://b/p: a place can't be named so", "write s3://"),
        (
            "http://x.example/y?sig=hunter2",
            "http://x.example/y is without TLS",
            "write https://; only emulators go without",
        ),
        ("http://azurite/acc0unt", "http://azurite/acc0unt names no container", "wasbs://"),
        ("http://azurite/A/c", "http://azurite/A/c names no storage account of Azure", "ACCOUNT"),
        ("http://azurite:99999/acc/c", "http://azurite:99999/acc/c is without TLS", "https://"),
        ("://x", "://x: a place can't be named so", "known are"),
        ("s3://", "s3:// names no bucket", "write s3://BUCKET/PREFIX"),
        ("s3:///p", "s3:///p names no bucket", "write s3://BUCKET/PREFIX"),
        ("s3://b b/p", "s3://b b/p: that is no name of a bucket", "letters, digits"),
        ("gs://-x", "gs://-x: that is no name of a bucket", "write gs://BUCKET/PREFIX"),
        ("s3://AKIA:hunter2@b/p", "s3://********@b/p has a login in it", "credentials belong in"),
        ("file:data", "'file:data' is no absolute path", "write file:///PATH"),
        ("file://host/data", "file://host/data names the host 'host'", "three slashes"),
        ("file://localhost", "file://localhost names the host 'localhost'", "three slashes"),
        ("file:///a%00b", "file:///a%00b holds a NUL, which no path can", "write file:///PATH"),
        (
            "https://example.com/x?sig=hunter2",
            "https://example.com/x names no storage account of Azure",
            "of https URIs only Azure's are taken",
        ),
        (
            "https://b.s3.eu-west-1.amazonaws.com/p",
            "https://b.s3.eu-west-1.amazonaws.com/p names no storage account of Azure",
            "for S3 write s3://BUCKET/PREFIX",
        ),
        (
            "https://storage.googleapis.com/b/p",
            "https://storage.googleapis.com/b/p names no storage account of Azure",
            "for Google Cloud Storage write gs://BUCKET/PREFIX",
        ),
        (
            "https://u:hunter2@example.com/x",
            "https://********@example.com/x names no storage account of Azure",
            "of https URIs",
        ),
        (f"https://{AZURE}/", f"https://{AZURE}/ names no container", "write wasbs://"),
        (
            "wasbs://box@example.com/",
            "wasbs://box@example.com/ names no storage account of Azure",
            "of https URIs",
        ),
    ],
)
def test_a_malformed_uri_is_a_configuration_error_with_a_hint(uri, said, hint):
    """Malformed ones: what it is, and how it is written; a login or signature in it is never repeated."""
    with pytest.raises(ConfigurationError) as caught:
        connection_of(uri)
    assert said == caught.value.message
    assert hint in caught.value.hint
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("kind", "text", "said", "hint"),
    [
        (
            "s3",
            "gs://b/p",
            "gs://b/p is no place of kind s3",
            "write s3://BUCKET/PREFIX, or change the kind to gcs",
        ),
        (
            "gcs",
            "s3://b",
            "s3://b is no place of kind gcs",
            "write gs://BUCKET/PREFIX, or change the kind to s3",
        ),
        ("s3", "", "an empty text names no bucket", "write s3://BUCKET/PREFIX"),
        ("s3", "/abs", "/abs names no bucket", "write s3://BUCKET/PREFIX"),
        (
            "wasb",
            f"https://{AZURE}/box?sig=hunter2",
            f"https://{AZURE}/box was given with a query",
            "a SAS token belongs in a secret or env, as AZURE_STORAGE_SAS_TOKEN",
        ),
    ],
)
def test_a_bucket_that_does_not_fit_its_kind_is_refused(kind, text, said, hint):
    """A bucket of another cloud, none at all, or one with a signature: refused with a hint."""
    with pytest.raises(ConfigurationError) as caught:
        parse_bucket(kind, text)
    assert (said, hint) == (caught.value.message, caught.value.hint)


def test_a_signature_in_a_uri_becomes_a_secret_of_the_connection():
    """The name is the URI without secrets; a SAS token goes to the connection's env, masked."""
    connection = connection_of(f"https://{AZURE}/box/p?sv=1&sig=hunter2hunter2")
    assert f"https://{AZURE}/box/p" == connection.name
    assert {"AZURE_STORAGE_SAS_TOKEN": Secret("sv=1&sig=hunter2hunter2")} == connection.env
    assert "hunter2" not in repr(connection)
    same = connection_of(f"wasbs://box@{AZURE}/p?sv=1&sig=hunter2hunter2")
    assert f"wasbs://box@{AZURE}/p" == same.name
    assert connection.env == same.env


@pytest.mark.parametrize(
    ("name", "expected"),
    [("s3://b", True), ("file:x", True), ("x://", True), ("s3-dataset1", False), ("s3:", False)],
)
def test_a_name_with_a_scheme_is_meant_as_a_uri(name, expected):
    """What has :// in it is no connection's name."""
    assert expected == is_uri(name)
