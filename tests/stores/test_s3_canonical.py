"""Pages of S3's listing are read quickly where they have the usual form, and equally in every form."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lighterman.errors import LightermanError
from lighterman.stores.s3 import canonical, listing

OBJECT = (
    "<Contents><Key>{key}</Key><LastModified>2026-11-01T10:00:00.123Z</LastModified>"
    "<ETag>&quot;{etag}&quot;</ETag>{checksum}<Size>{size}</Size>{storage}</Contents>"
)
AWS = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name>'
    "<Prefix>a%2Fb</Prefix><NextContinuationToken>1/a+b&amp;c==</NextContinuationToken><KeyCount>2</KeyCount>"
    "<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>{}</ListBucketResult>"
)
MOTO = (
    '<?xml version="1.0" encoding="utf-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    "<IsTruncated>false</IsTruncated>\n  {}<Name>bucket</Name><Prefix/><EncodingType>url</EncodingType>"
    "</ListBucketResult>"
)
CEPH = "<ListBucketResult><EncodingType>url</EncodingType>{}<MaxKeys>1000</MaxKeys></ListBucketResult>\n"
TWO = OBJECT.format(
    key="a+b%2F%C3%BC%00",
    etag="0123456789abcdef0123456789abcdef",
    checksum="<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>",
    size=5,
    storage="<StorageClass>STANDARD</StorageClass>",
) + OBJECT.format(
    key="plain/key",
    etag="abc-2",
    checksum="",
    size=0,
    storage="<StorageClass>GLACIER</StorageClass>",
)
PAGES = [AWS.format(TWO), MOTO.format(TWO.replace("&quot;", '"')), CEPH.format(TWO), AWS.format("")]

snippets = st.sampled_from(
    [
        *(
            "",
            " ",
            "\n",
            "\r\n",
            "\0",
            "\x0b",
            "é",
            "%",
            "%2F",
            "%zz",
            "+",
            "'",
            '"',
            "&",
            "<",
            ">",
            "]]>",
        ),
        *(
            "&amp;",
            "&lt;",
            "&#1;",
            "&#x41;",
            "&unknown;",
            "<!-- -->",
            "<![CDATA[x]]>",
            "<?x?>",
            "<!DOCTYPE a>",
        ),
        *(
            "<Contents>",
            "</Contents>",
            "<Key>k</Key>",
            "<Size>7</Size>",
            "<x>",
            "</x>",
            "<Type>Normal</Type>",
        ),
        *(
            "<CommonPrefixes><Prefix>p</Prefix></CommonPrefixes>",
            "<Owner><ID>i</ID></Owner>",
            "<EncodingType/>",
        ),
        "<RestoreStatus><RestoreExpiryDate>2030-01-01T00:00:00Z</RestoreExpiryDate></RestoreStatus>",
        *(
            "<StorageClass>GLACIER</StorageClass>",
            "<IsTruncated>false</IsTruncated>",
            "</ListBucketResult>",
        ),
        OBJECT.format(key="more", etag="", checksum="", size=1, storage=""),
    ]
)
edits = st.lists(
    st.tuples(st.floats(0, 1), st.booleans(), st.sampled_from([0, 0, 1, 2, 9]), snippets),
    max_size=3,
)


def read_as_xml(body):
    try:
        return listing.parsed_as_xml(body)
    except (LightermanError, ValueError, KeyError) as error:
        return type(error)


@given(st.sampled_from(PAGES), edits)
@example(PAGES[0], [])
def test_each_form_is_read_equally(page, edits):
    """What is read quickly is what a tree of elements gives, whatever a page was changed to."""
    for at, is_after, cut, snippet in edits:
        marks = [found.start() for found in re.finditer("[<>]", page)] or [0]
        start = marks[int(at * (len(marks) - 1))] + is_after
        page = page[:start] + snippet + page[start + cut :]
    body = page.encode()

    found = canonical.read(body)

    if found is not None:
        assert read_as_xml(body) == listing.parsed(body)


@given(st.text(max_size=20), st.booleans())
@example("a/+%2F%", True)
def test_keys_are_unquoted_as_they_were_quoted(text, all_quoted):
    """Also where the server quotes the slashes (Ceph), and where it quoted nothing at all."""
    from urllib.parse import quote, quote_plus, unquote_plus

    safe = "" if all_quoted else "/"
    for quoted in (
        quote(text, safe, errors="ignore"),
        quote_plus(text, safe, errors="ignore"),
        text,
    ):
        assert unquote_plus(quoted) == canonical.unquoted(quoted)


@pytest.mark.parametrize("page", PAGES)
def test_the_usual_forms_are_read_quickly(page):
    """AWS's with its checksums, moto's and Ceph's."""
    assert canonical.read(page.encode()) is not None


@pytest.mark.parametrize(
    "page",
    [
        AWS.format(TWO).replace("</Size>", "</Size><Size>6</Size>"),
        AWS.format(TWO).replace("plain", "pl&amp;ain"),
        AWS.format(TWO + "<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>"),
        AWS.format(TWO).replace("2026-11-01T", "yesterday"),
        AWS.format(TWO).replace("plain", "é"),
        AWS.format(TWO)[:-40],
    ],
)
def test_another_form_is_left_alone(page):
    """It is read as a tree, which knows all forms and names what is none."""
    assert canonical.read(page.encode()) is None
