"""Archived objects, end to end: refused by name (66) before any byte, wherever they are declared."""

import pytest
from pulls import Pull, gets


@pytest.fixture
def proxy(proxy_to, moto_endpoint):
    return proxy_to(moto_endpoint)


@pytest.fixture
def pull(s3_bucket, tmp_path, proxy):
    """Init of a bucket with objects of every storage class, through the proxy."""
    for storage_class in ("STANDARD", "STANDARD_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"):
        s3_bucket.put(f"data/{storage_class}", b"1", StorageClass=storage_class)
    return Pull(s3_bucket, tmp_path, proxy.url)


@pytest.mark.parametrize(
    ("flags", "named", "free"),
    [
        ((), ("data/GLACIER", "data/DEEP_ARCHIVE"), "data/GLACIER_IR"),
        (("--dir", "data"), ("data/GLACIER", "data/DEEP_ARCHIVE"), "data/STANDARD_IA"),
        (
            ("--file", "data/GLACIER", "--file", "data/STANDARD"),
            ("data/GLACIER",),
            "data/STANDARD",
        ),
        (("--file", "data/DEEP_ARCHIVE"), ("data/DEEP_ARCHIVE",), "data/GLACIER_IR"),
    ],
    ids=["root", "dir", "file", "file alone"],
)
def test_archived_objects_are_refused_by_name(pull, proxy, flags, named, free):
    """An archived object is refused by name from the listing, or as a declared file (66), before any byte."""
    ended = pull.run(*flags)

    assert 66 == ended.code == ended.report["error"]["code"]
    message = ended.report["error"]["message"]
    assert [True] * len(named) == [f"'{name}' (it is archived" in message for name in named]
    assert f"'{free}'" not in message
    assert "restore" in ended.report["error"]["hint"]
    assert ([], False) == (gets(proxy), pull.dest.exists())


def test_what_is_not_in_an_archive_comes(pull):
    """Instant Retrieval and the infrequent classes are read as they are."""
    names = ("STANDARD", "STANDARD_IA", "GLACIER_IR")
    flags = [part for name in names for part in ("--file", f"data/{name}")]

    ended = pull.run(*flags)

    assert (0, {f"data/{name}": b"1" for name in names}) == (ended.code, pull.files())
