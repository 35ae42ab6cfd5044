"""docs/stores.md: the entries that it gives open as it says, and what it calls proven is."""

import re
from pathlib import Path

import msgspec
import pytest
from test_s3_options import use_every_engine

from lighterman.connections.model import Connection
from lighterman.connections.shapes import read_catalog
from lighterman.document import parse_document
from lighterman.errors import ConditionFailedError
from lighterman.stores.contract import Attributes, Key

PAGE = (Path(__file__).parents[2] / "docs" / "stores.md").read_text()
[BLOCK] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
ENTRIES = {
    entry.name: entry
    for entry in read_catalog(parse_document(BLOCK, "docs/stores.md"), "docs/stores.md")
    if isinstance(entry, Connection)
}
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDSTORES", "AWS_SECRET_ACCESS_KEY": "secret-of-stores"}


def opened_entry(opened, name: str, **options):
    """The entry with a login in place of its secret, which isn't mounted here."""
    entry = ENTRIES[name]
    options = msgspec.structs.replace(entry.options, **({"ca_bundle": None} | options))
    return opened(msgspec.structs.replace(entry, secret=None, env=KEYS, options=options))


@pytest.mark.parametrize("name", ENTRIES)
def test_each_entry_opens_with_the_defaults_of_the_page(opened, name):
    """Checksums only where AWS takes them, the bucket in the path elsewhere, the region that was given."""
    store = opened_entry(opened, name)
    settings = store._engines.settings
    is_aws = name == "aws"

    assert ("when_supported" if is_aws else "when_required", is_aws) == (
        settings.checksums,
        settings.virtual,
    )
    assert (ENTRIES[name].options.region or "us-east-1") == settings.region
    assert (1_000 if name == "scaleway" else 10_000) == store.limits.most_parts


@pytest.mark.parametrize("name", [name for name in ENTRIES if name != "aws"])
def test_each_entry_is_spoken_as_the_page_says(opened, name, proxy_to, s3_bucket, files):
    """
    No checksum, no streaming signature, no signed Accept-Encoding, the entry's region in every signature,
    one key a DELETE, equal parts: seen at moto in the store's place.
    """
    front = proxy_to(s3_bucket.endpoint)
    s3_bucket._replace(name="models").create()
    store = opened_entry(opened, name, endpoint=front.url)
    region = ENTRIES[name].options.region or "us-east-1"

    use_every_engine(store, files)
    for key in ("small", "larger", "parts"):
        store.delete(Key(key))

    seen = front.seen()
    assert {region} == {
        re.search(r"Credential=[^/]+/\d+/([^/]+)/s3", r.headers["authorization"])[1] for r in seen
    }
    names = {name for r in seen for name in r.headers}
    assert not [name for name in names if "checksum" in name or "trailer" in name]
    assert "accept-encoding" not in {
        name
        for r in seen
        for name in r.headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    }
    uploads = [r for r in seen if r.method == "PUT"]
    assert {"UNSIGNED-PAYLOAD"} == {r.headers["x-amz-content-sha256"] for r in uploads}
    assert not [r for r in seen if "delete" in r.query]


@pytest.mark.parametrize("server", ["moto", pytest.param("rgw", marks=pytest.mark.ceph)])
def test_create_if_absent_is_kept_where_the_page_says_so(opened, request, files, server):
    """A PUT with ``If-None-Match: *`` on moto and on Ceph."""
    bucket = request.getfixturevalue("s3_bucket" if server == "moto" else "rgw_bucket")
    store = opened(bucket.connection())
    store.write(Key("k"), files.of(b"1"), Attributes(), only_if_absent=True)

    with pytest.raises(ConditionFailedError):
        store.write(Key("k"), files.of(b"2"), Attributes(), only_if_absent=True)

    assert b"1" == bucket.get("k")


def test_every_mark_of_the_table_has_its_source():
    """Each row with its source."""
    used = set(re.findall(r"\[([a-z]\d)\]", PAGE))
    given = set(re.findall(r"^- ([a-z]\d) https://", PAGE, re.MULTILINE))

    assert used == given
