"""Which store's objects are cached where, as the entries declare it."""

import pytest

from initializer.cache.declared import settings_of
from initializer.entries import CacheSetting, Entry
from lighterman.connections.model import Bucket, Connection, HostPath
from lighterman.errors import ConfigurationError

S3 = Connection(name="a", kind="s3", schema=Bucket(bucket="s3://a"))
GCS = Connection(name="b", kind="gcs", schema=Bucket(bucket="gs://b"))
VOLUME = Connection(name="v", kind="host_path", schema=HostPath(host_path="/v", mount_path="/v"))
CONNECTIONS = {"a": S3, "b": GCS, "v": VOLUME}
ONE, OTHER = CacheSetting("/cache/one"), CacheSetting("/cache/other", 5)


def entry(connection, cache):
    return Entry(connection=connection, destination="/data", workers=1, cache=cache)


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        ([], [None, None, None]),
        ([entry("a", ONE)], [ONE, None, None]),
        ([entry("a", ONE), entry("b", OTHER)], [ONE, OTHER, None]),
        ([entry("a", ONE), entry("b", ONE)], [ONE, ONE, None]),
        ([entry("a", None), entry("a", ONE)], [ONE, None, None]),
        ([entry("v", ONE), entry("b", ONE)], [None, ONE, None]),
    ],
)
def test_a_cache_is_a_connections(entries, found):
    """What one entry says holds for its connection; a volume has none."""
    assert settings_of(entries, CONNECTIONS, ["/data"]) == found


@pytest.mark.parametrize(
    ("entries", "roots", "said"),
    [
        ([entry("a", ONE), entry("a", OTHER)], ["/data"], "two caches"),
        ([entry("a", ONE), entry("b", CacheSetting(ONE.path, 7))], ["/data"], "two sizes"),
        ([entry("a", ONE)], ["/data", "/cache/one"], "one inside the other"),
        ([entry("a", ONE)], ["/cache/one/below"], "one inside the other"),
        ([entry("a", ONE)], ["/cache"], "one inside the other"),
        ([entry("a", ONE)], [""], "and the destination / are one inside the other"),
    ],
)
def test_what_cannot_be_meant_is_refused(entries, roots, said):
    """78, with the directory's or the connection's name."""
    with pytest.raises(ConfigurationError, match=said):
        settings_of(entries, CONNECTIONS, roots)


def test_a_directory_with_a_like_name_is_another():
    """`/cache/one-more` is beside `/cache/one`."""
    assert settings_of([entry("a", ONE)], CONNECTIONS, ["/cache/one-more"])[0] == ONE
