"""Azure's blocks as uploads: what their names say, and what is left of an upload."""

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lighterman.connections.uri import connection_of
from lighterman.errors import CannotWriteError, TransientError, UploadMissingError
from lighterman.stores.azure import blocks
from lighterman.stores.azure.listing import pages, uncommitted
from lighterman.stores.azure.wire import checksum_of
from lighterman.stores.contract import Attributes, Checksum, ETag, Key, Listed, Part

PART_BYTES = 5 * 1024 * 1024
GIVEN = Attributes("text/x-notes", 0o640, 1_700_000_000_123_456_789)
LONG_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

all_attributes = st.builds(
    Attributes,
    st.none() | st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=200),
    st.none() | st.integers(0, 0o7777),
    st.none() | st.integers(-(2**63) + 1, 2**63 - 1),
)


@pytest.fixture
def store(azure_container, opened):
    return opened(azure_container.connection())


@given(all_attributes)
def test_attributes_come_back_from_an_uploads_id_and_from_its_blocks(attributes):
    """Returns its id, which any process may go on with: it is all that it takes."""
    given_back = Attributes(attributes.content_type or None, attributes.mode, attributes.mtime_ns)
    upload_id = blocks.new_upload(attributes)
    markers = blocks.markers(upload_id)

    assert given_back == blocks.attributes_in(upload_id)
    assert [upload_id] == list(blocks.open_uploads(markers))
    assert blocks.is_open(upload_id, markers)
    assert not blocks.is_open(upload_id, [*markers, blocks.tombstone(upload_id)])
    assert {} == blocks.open_uploads([*markers, blocks.tombstone(upload_id)])
    assert {} == blocks.open_uploads(markers[:-1])


@given(st.integers(1, 50_000), st.binary(min_size=16, max_size=16))
def test_a_block_comes_back_from_its_name(number, digest):
    """All names are of one length, and at most 64 bytes before they are encoded."""
    upload_id = blocks.new_upload(Attributes())
    block = blocks.part(upload_id, number, digest.hex())

    found = blocks.parsed(block.name)

    assert found is not None
    assert (number, digest.hex(), block.upload) == (found.number, found.md5, found.upload)
    assert blocks.is_part_of(found, upload_id)
    assert 64 == len(block.name.encode())


@given(st.text(max_size=90))
def test_what_others_name_their_blocks_is_none_of_ours(name):
    """Blocks that another tool brought are left alone."""
    assert blocks.parsed(name) is None


def test_a_part_sent_again_with_other_bytes_counts_as_the_last(store, files):
    """Sent twice, the last one counts, and either can be finished with."""
    upload_id = store.begin(Key("big"), GIVEN, part_bytes=PART_BYTES)
    first = store.send_part(Key("big"), upload_id, 1, files.of(b"first"))
    last = store.send_part(Key("big"), upload_id, 1, files.of(b"last"))

    assert [last] == store.sent_parts(Key("big"), upload_id)
    assert first.etag != last.etag


def test_two_uploads_of_one_key_know_their_own_parts(store, files, get):
    """Who finishes first takes the other's blocks along: the other is no more."""
    ids = [store.begin(Key("big"), GIVEN, part_bytes=PART_BYTES) for _ in range(2)]
    parts = [
        store.send_part(Key("big"), upload_id, 1, files.of(content))
        for upload_id, content in zip(ids, (b"one", b"two"), strict=True)
    ]

    assert [[part] for part in parts] == [store.sent_parts(Key("big"), each) for each in ids]
    assert {*ids} == {upload.upload_id for upload in store.open_uploads("big")}
    store.finish(Key("big"), ids[1], [parts[1]])

    assert b"two" == get("big")
    with pytest.raises(UploadMissingError):
        store.finish(Key("big"), ids[0], [parts[0]])
    with pytest.raises(UploadMissingError):
        store.sent_parts(Key("big"), ids[0])


def test_an_upload_over_an_object_is_told_when_its_key_is_asked_for(store, azure_container):
    """Uploads that wait for their end, of keys that start with ``prefix``; an object's own by its whole key."""
    azure_container.put("big", b"old")
    upload_id = store.begin(Key("big"), Attributes(LONG_TYPE), part_bytes=PART_BYTES)

    assert [upload_id] == [upload.upload_id for upload in store.open_uploads("big")]
    store.abandon(Key("big"), upload_id)
    assert [] == store.open_uploads("big")
    assert b"old" == azure_container.get("big")


def test_blocks_of_another_tool_are_no_upload_of_ours(store, azure_container, files):
    """Blocks that another tool brought are left alone; names of another length are in the way, and said to be."""
    with azure_container.client() as client:
        client.get_blob_client("same").stage_block("x" * 64, b"other's")
        client.get_blob_client("other").stage_block("x" * 8, b"other's")

    assert [] == store.open_uploads("")
    upload_id = store.begin(Key("same"), GIVEN, part_bytes=PART_BYTES)
    part = store.send_part(Key("same"), upload_id, 1, files.of(b"ours"))
    assert [part] == store.sent_parts(Key("same"), upload_id)
    with pytest.raises(CannotWriteError) as caught:
        store.begin(Key("other"), GIVEN, part_bytes=PART_BYTES)
    assert "unfinished upload" in caught.value.hint


def test_what_others_made_is_not_made_of_our_parts(store, azure_container, files):
    """``None`` if it is another, if there is none, and where that can't be told."""
    part = Part(1, ETag("5d41402abc4b2a76b9719d911017c592"), 5)
    assert store.made_of(Key("none"), [part]) is None
    azure_container.put("whole", b"hello")
    assert store.made_of(Key("whole"), [part]) is None
    with azure_container.client() as client:
        blob = client.get_blob_client("blocks")
        blob.stage_block("one", b"hello")
        blob.commit_block_list(["one"])
    assert store.made_of(Key("blocks"), [part]) is None


def test_a_part_that_was_damaged_on_its_way_is_not_taken(azure_container, opened, files):
    """Verified in transit: the service compares what arrives with its MD5."""
    store = opened(azure_container.connection())
    window = files.of(b"x" * PART_BYTES)
    upload_id = store.begin(Key("big"), GIVEN, part_bytes=PART_BYTES)
    client = store._current().client()
    name = blocks.part(upload_id, 1, "0" * 32).name

    with pytest.raises(TransientError):
        client.stage(Key("big"), name, lambda: os.pread(window.descriptor, 10, 0), 10, "0" * 32)
    assert [] == store.sent_parts(Key("big"), upload_id)


def test_every_form_of_a_uri_reaches_its_container(azure_container, opened):
    """Container and account from every URI form; an emulator's own too."""
    azure_container.put("p/file", b"x")
    server = azure_container.server
    environ = {"AZURE_STORAGE_ACCOUNT": server.account, "AZURE_STORAGE_KEY": server.key}

    store = opened(connection_of(f"{server.endpoint}/{azure_container.name}/p"), environ)

    assert ("p", f"{server.endpoint}/{azure_container.name}") == (store.prefix, store.destination)
    assert ["p/file"] == [item.key for page in store.pages(f"{store.prefix}/") for item in page]


PAGE = """\ufeff<?xml version="1.0" encoding="utf-8"?>
<EnumerationResults ServiceEndpoint="https://a.blob.core.windows.net/" ContainerName="c"><Blobs>
<Blob><Name Encoded="true">a%EF%BF%BE%20b%25</Name><Properties>
<Last-Modified>Sat, 21 Nov 2026 04:00:00 GMT</Last-Modified><Etag>0x8D</Etag><ResourceType>file</ResourceType>
<Content-Length>5</Content-Length><Content-Type>text/plain</Content-Type>
<Content-MD5>XUFAKrxLKna5cZ2REBfFkg==</Content-MD5><AccessTier>Archive</AccessTier>
<ArchiveStatus>rehydrate-pending-to-hot</ArchiveStatus></Properties><Metadata /></Blob>
<Blob><Name>100%25</Name><Properties><Last-Modified>Sat, 21 Nov 2026 04:00:00 GMT</Last-Modified>
<Etag>0x8E</Etag><Content-Length>0</Content-Length><Content-Type>text/plain</Content-Type><Content-MD5 />
<AccessTier>Hot</AccessTier></Properties><Metadata><Mode>100644</Mode></Metadata></Blob>
<Blob><Name>dir</Name><Properties><Last-Modified>Sat, 21 Nov 2026 04:00:00 GMT</Last-Modified>
<Etag>0x8F</Etag><ResourceType>directory</ResourceType><Content-Length>0</Content-Length></Properties></Blob>
<Blob><Name>hadoop</Name><Properties><Last-Modified>Sat, 21 Nov 2026 04:00:00 GMT</Last-Modified>
<Etag>0x90</Etag><Content-Length>0</Content-Length><Content-Type>x/y</Content-Type></Properties>
<Metadata><Hdi_isfolder>true</Hdi_isfolder></Metadata></Blob>
</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>"""


def test_a_page_is_read_as_azure_writes_it():
    """Names that XML can't hold come quoted, directories are no objects, a rehydration takes its time."""
    asked = []

    def ask(query):
        asked.append(dict(query))
        return PAGE.format(marker="2!76!more" if len(asked) == 1 else "").encode()

    found = list(pages(ask, "p"))

    first = Listed(
        Key("a\ufffe b%"),
        5,
        ETag("0x8D"),
        1_795_233_600.0,
        archived=True,
        checksum=Checksum("md5:5d41402abc4b2a76b9719d911017c592"),
    )
    assert [[first, Listed(Key("100%25"), 0, ETag("0x8E"), 1_795_233_600.0)]] * 2 == found
    assert [None, "2!76!more"] == [query.get("marker") for query in asked]
    assert ["p", "p"] == [query["prefix"] for query in asked]


def test_what_was_never_committed_is_told_by_its_lack_of_a_type():
    """Every object has a Content-Type; what was never committed has none."""
    body = PAGE.format(marker="").replace("<Content-Type>x/y</Content-Type>", "").encode()

    assert ["dir", "hadoop"] == list(uncommitted(lambda _: body, ""))


@pytest.mark.parametrize(
    "text", [None, "", "XUFA", "not base64!", base64.b64encode(b"short").decode()]
)
def test_what_is_no_md5_is_no_checksum(text):
    """``None`` for what is none: anyone may set a Content-MD5."""
    assert checksum_of(text) is None
