"""The S3 store's decisions and readings, without a server."""

import hashlib
import stat

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from servers.buckets import S3Bucket

from lighterman.connections.login import S3Login
from lighterman.connections.model import Bucket, Connection, Options
from lighterman.errors import ConfigurationError, TransientError
from lighterman.stores import keys, open_store
from lighterman.stores.contract import Attributes, ETag, Part, Window
from lighterman.stores.failures import Place, broken
from lighterman.stores.s3 import etags, failures, listing
from lighterman.stores.s3.attributes import from_metadata, to_metadata
from lighterman.stores.s3.configuration import configured
from lighterman.stores.s3.login import Keys
from lighterman.transfer.settings import TransferSettings

PLACE = Place("c", "b", "https://e", "us-east-1", "somewhere")


@given(st.integers(-(10**18), 10**19), st.integers(0, 0o7777), st.booleans())
@example(-1, 0, False)
@example(1_500_000_000, 0o644, True)
def test_attributes_survive_metadata(mtime_ns, mode, is_marker):
    """Mode and mtime as metadata under the keys that rclone uses for that cloud."""
    attributes = Attributes("text/x", mode, mtime_ns)

    metadata = to_metadata(attributes, "dir/" if is_marker else "file")

    assert attributes == from_metadata(metadata, "text/x")
    kind = stat.S_IFDIR if is_marker else stat.S_IFREG
    assert kind | mode == int(metadata["mode"], 8)


@pytest.mark.parametrize(
    ("mtime_ns", "text"),
    [
        (1_700_000_000_123_456_789, "1700000000.123456789"),
        (1_700_000_000_000_000_000, "1700000000"),
        (1_500_000_000, "1.5"),
        (0, "0"),
        (-1_500_000_000, "-1.5"),
    ],
)
def test_an_mtime_is_written_as_rclone_writes_it(mtime_ns, text):
    """``mtime`` as seconds with a fraction, without the zeros at its end."""
    assert {"mtime": text} == to_metadata(Attributes(mtime_ns=mtime_ns), "k")


@pytest.mark.parametrize(
    ("metadata", "mode", "mtime_ns"),
    [
        ({"mode": "100644", "mtime": "1700000000"}, 0o644, 1_700_000_000 * 10**9),
        ({"mode": "644", "mtime": " 1.5 "}, 0o644, 1_500_000_000),
        ({"mode": "33188"}, 0o644, None),
        ({"mode": "33204"}, 0o664, None),
        ({"mode": "0100755", "mtime": "1.1234567899"}, 0o755, 1_123_456_789),
        ({"mode": "rw-r--r--", "mtime": "2026-11-21T00:00:00Z"}, None, None),
        ({"mode": "-644", "mtime": "1e9"}, None, None),
        ({"mode": "120777", "mtime": ""}, None, None),
        ({}, None, None),
    ],
)
def test_metadata_is_read_leniently(metadata, mode, mtime_ns):
    """What can't be read isn't known; it is no error. s3fs writes the mode in decimal."""
    assert Attributes(None, mode, mtime_ns) == from_metadata(metadata, None)


def test_the_etag_of_parts_is_made_of_their_md5s():
    """MD5 of part MD5s and their number; ``None`` where a part's ETag isn't an MD5."""
    md5s = [hashlib.md5(text).hexdigest() for text in (b"a", b"b")]
    parts = [Part(number, ETag(md5), 1) for number, md5 in enumerate(md5s, start=1)]
    joined = hashlib.md5(b"".join(map(bytes.fromhex, md5s))).hexdigest()

    assert f"{joined}-2" == etags.of_parts(parts)
    assert etags.of_parts([*parts, Part(3, ETag("opaque"), 1)]) is None
    assert etags.of_parts([]) is None


def test_an_empty_object_by_parts_has_one_part(files):
    """An upload has at least one part."""
    empty = bytes.fromhex(hashlib.md5(b"").hexdigest())

    assert f"{hashlib.md5(empty).hexdigest()}-1" == etags.of_content_by_parts(files.of(b""), 5)


def test_the_etag_of_a_window_is_of_the_window(files):
    """Reads the window."""
    window = files.of(b"0123456789")._replace(start=2, size_bytes=3)

    assert hashlib.md5(b"234").hexdigest() == etags.of_content(window)


def test_a_window_past_the_end_has_no_etag(files):
    """The file became shorter while it was compared."""
    from lighterman.errors import SourceChangedError

    with pytest.raises(SourceChangedError):
        etags.of_content(files.of(b"abc")._replace(size_bytes=4))
    with pytest.raises(TransientError):
        etags.of_content(Window(-1, 0, 1))


@pytest.mark.parametrize(
    ("key", "takes"),
    [
        ("a", True),
        ("a b/c+%#", True),
        (".hidden/..x/...", True),
        ("", False),
        ("/a", False),
        ("a/", False),
        ("a//b", False),
        ("./a", False),
        ("a/..", False),
        ("a\tb", False),
        ("a\x7f", False),
    ],
)
def test_keys_that_obstore_would_change_are_known(key, takes):
    """It normalises keys; those go another way."""
    assert takes is keys.obstore_takes(key)


@given(st.text())
def test_a_quoted_key_comes_back(key):
    """A key as it stands in a URL's path."""
    from urllib.parse import unquote

    try:
        key.encode()
    except UnicodeEncodeError:
        return
    assert key == unquote(keys.quoted(key))
    assert keys.quoted(key).isascii()


def page(contents: str, *, quoted: bool = True, rest: str = "") -> bytes:
    encoding = "<EncodingType>url</EncodingType>" if quoted else ""
    return f"<ListBucketResult>{encoding}{rest}{contents}</ListBucketResult>".encode()


ONE = (
    "<Contents><Key>{key}</Key><Size>3</Size><LastModified>2026-11-21T00:00:00.5Z</LastModified>"
    '<ETag>"abc"</ETag>{more}</Contents>'
)


def test_a_listing_without_namespace_is_read():
    """The namespace differs from store to store, and some have none."""
    [item], token = listing.parsed(page(ONE.format(key="a+b%2Bc%01", more="")))

    assert ("a b+c\x01", 3, "abc", 1_795_219_200.5, "") == (
        item.key,
        item.size_bytes,
        item.etag,
        item.modified_seconds,
        token,
    )


def test_a_listing_that_is_not_quoted_is_taken_as_it_is():
    """Exact to the key, also from a store that doesn't know encoding-type."""
    [item], _ = listing.parsed(page(ONE.format(key="a+b%2B &amp;", more=""), quoted=False))

    assert "a+b%2B &" == item.key


def test_a_restored_object_is_not_archived():
    """True where its bytes can't be read before a restore."""
    cold = "<StorageClass>DEEP_ARCHIVE</StorageClass>"
    restored = "<RestoreStatus><RestoreExpiryDate>2027-01-01</RestoreExpiryDate></RestoreStatus>"
    contents = ONE.format(key="a", more=cold) + ONE.format(key="b", more=cold + restored)

    items, _ = listing.parsed(page(contents))

    assert [True, False] == [item.archived for item in items]


def test_a_page_tells_of_the_next():
    """Pages of every object."""
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t/1=</NextContinuationToken>"

    assert ([], "t/1=") == listing.parsed(page("", rest=more))


def test_control_characters_beside_the_keys_are_no_matter():
    """Ceph quotes keys as asked, but not the prefix beside them."""
    body = page(ONE.format(key="%01a", more=""), rest="<Prefix>&#x1;</Prefix>")

    [item], _ = listing.parsed(body)

    assert "\x01a" == item.key


def test_control_characters_in_keys_are_not_guessed():
    """A key is never normalised: one that can't be read is an error."""
    with pytest.raises(ConfigurationError, match="control characters"):
        listing.parsed(page(ONE.format(key="&#x1;a", more=""), quoted=False))


def test_what_is_no_xml_is_transient():
    """A body cut short."""
    with pytest.raises(TransientError):
        listing.parsed(b"<ListBucketResult><Contents>")


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("invalid peer certificate: UnknownIssuer", ConfigurationError, "certificate"),
        ("dns error: failed to lookup", TransientError, "name"),
        ("Os { kind: ConnectionRefused }", TransientError, "refuses"),
        ("operation timed out", TransientError, "in time"),
        ("connection closed before message completed", TransientError, "broke"),
    ],
)
def test_a_broken_connection_is_told_in_our_words(text, kind, words):
    """Foreign texts are looked at, never passed on."""
    error = broken(PLACE, text + " https://h/?X-Amz-Signature=secret")

    assert kind is type(error)
    assert words in error.message
    assert "secret" not in error.message + error.hint


def test_an_endpoint_in_a_redirect_tells_the_region():
    """Naming the right region."""
    body = b"<Error><Code>PermanentRedirect</Code><Endpoint>b.s3.eu-central-1.amazonaws.com</Endpoint></Error>"

    failure = failures.from_answer(301, {}, body)

    assert failures.Failure(301, "PermanentRedirect", "eu-central-1") == failure


def test_keys_are_never_shown():
    """Credentials are values of a type whose repr is masked."""
    assert "AKID" not in repr(Keys("AKID", "secret", "token")) + str(Keys("AKID", "secret", None))
    assert "secret" not in f"{Keys('AKID', 'secret', 'token')}"


@pytest.mark.parametrize(
    ("bucket", "region", "use_ssl", "url"),
    [
        ("name", "eu-west-1", True, "https://name.s3.eu-west-1.amazonaws.com"),
        ("name", "cn-north-1", True, "https://name.s3.cn-north-1.amazonaws.com.cn"),
        ("name", None, False, "http://name.s3.us-east-1.amazonaws.com"),
        ("a.name", "eu-west-1", True, "https://s3.eu-west-1.amazonaws.com/a.name"),
        ("UPPER", "eu-west-1", True, "https://s3.eu-west-1.amazonaws.com/UPPER"),
    ],
)
def test_the_url_of_a_bucket_at_aws(bucket, region, use_ssl, url):
    """Virtual-host or path addressing, https default endpoints for AWS."""
    settings = configured(
        Connection(name="c", kind="s3", schema=Bucket(f"s3://{bucket}")),
        S3Login(source="x", use_ssl=use_ssl),
        {},
        region=region,
        stall_seconds=1,
        concurrency=0,
    )

    assert url == settings.base_url
    assert "when_supported" == settings.checksums
    assert 1 == settings.network.concurrency


@pytest.mark.parametrize(
    ("config", "connect_seconds", "stall_seconds"),
    [({}, 10.0, 60.0), ({"connect_timeout": 3, "read_timeout": 4.5}, 3.0, 4.5)],
)
def test_timeouts_of_config_kwargs_hold_for_all(config, connect_seconds, stall_seconds):
    """``config_kwargs``: botocore Config's, with their meaning."""
    settings = configured(
        Connection(
            name="c", kind="s3", schema=Bucket("s3://b"), options=Options(config_kwargs=config)
        ),
        S3Login(source="x"),
        {"HTTPS_PROXY": "proxy.example:3128"},
        region=None,
        stall_seconds=60.0,
        concurrency=4,
    )

    network = settings.network
    assert (connect_seconds, stall_seconds) == (network.connect_seconds, network.stall_seconds)
    assert "http://proxy.example:3128" == settings.network.proxy


@pytest.mark.parametrize(("bucket", "lists_after"), [("b", True), ("b--use1-az5--x-s3", False)])
def test_a_directory_bucket_is_listed_from_end_to_end(bucket, lists_after):
    """It keeps no order, and knows no ``start-after``."""
    connection = S3Bucket("http://127.0.0.1:9", bucket).connection()
    store = open_store(connection, {}, TransferSettings(), concurrency=1)
    assert lists_after == store.lists_after
    store.close()
