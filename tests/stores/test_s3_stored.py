"""
What objects are made with reaches what the server stores, whichever way they were made: at once, larger
than one buffer, by parts, copied whole and copied by parts.
"""

import pytest
from servers.buckets import S3Bucket
from servers.faults import Answer, s3_error
from servers.windows import content_of

from lighterman.errors import ConfigurationError, CredentialsError, SourceMissingError
from lighterman.stores.contract import Attributes, Key
from lighterman.stores.s3.store import open_s3
from lighterman.transfer.settings import TransferSettings

MIB = 1024 * 1024
PART_BYTES = 5 * MIB
WAYS = ("small", "larger", "parts", "copy", "copied by parts")
CUSTOMER_KEY = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}


@pytest.fixture
def made(files):
    """Makes an object in each of the ways; gives the store."""
    stores = []

    def make(bucket: S3Bucket, *, copies: bool = True, **options):
        store = open_s3(
            bucket.connection(**options),
            {},
            TransferSettings(stall_seconds=10.0),
            concurrency=4,
            copy_limit_bytes=PART_BYTES,
            copy_part_bytes=PART_BYTES,
        )
        stores.append(store)
        given = Attributes("text/plain", 0o640, 5_000_000_000)
        store.write(Key("small"), files.of(b"hello"), given)
        store.write(Key("larger"), files.of(b"x" * 2 * MIB), given)
        upload_id = store.begin(Key("parts"), given, part_bytes=PART_BYTES)
        parts = [
            store.send_part(Key("parts"), upload_id, number, files.of(b"p" * size))
            for number, size in ((1, PART_BYTES), (2, 10))
        ]
        whole = store.finish(Key("parts"), upload_id, parts)
        if not copies:
            return store
        store.copy(Key("small"), store.stat(Key("small")).etag, Key("copy"), given)
        store.copy(Key("parts"), whole, Key("copied by parts"), given)
        return store

    yield make
    for store in stores:
        store.close()


def test_sse_s3_is_what_the_server_stored(made, s3_bucket):
    """SSE-S3: ``s3_additional_kwargs: {ServerSideEncryption: AES256}``."""
    made(s3_bucket, s3_additional_kwargs={"ServerSideEncryption": "AES256"})

    assert ["AES256"] * len(WAYS) == [s3_bucket.head(way)["ServerSideEncryption"] for way in WAYS]


@pytest.mark.parametrize("where", ["option", "s3_additional_kwargs"])
def test_sse_kms_is_what_the_server_stored(made, s3_bucket, where):
    """SSE-KMS: ``kms_key``, or ZenML's way to say it."""
    kwargs = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/models"}
    options = {"kms_key": "alias/models"} if where == "option" else {"s3_additional_kwargs": kwargs}

    store = made(s3_bucket, **options)

    heads = [s3_bucket.head(way) for way in WAYS]
    assert {("aws:kms", "alias/models")} == {
        (head["ServerSideEncryption"], head["SSEKMSKeyId"]) for head in heads
    }
    assert {None} == {store.stat(Key(way)).checksum for way in WAYS}


@pytest.mark.ceph
def test_sse_c_is_read_with_its_key_alone(made, rgw_bucket, files, opened):
    """
    SSE-C, at a store that encrypts: what was made is read with the key, and not without. (Ceph 16 copies
    nothing that is encrypted.)
    """
    store = made(rgw_bucket, copies=False, s3_additional_kwargs=CUSTOMER_KEY)
    bare = opened(rgw_bucket.connection())

    for way in ("small", "larger", "parts"):
        found = store.stat(Key(way))
        target = files.of(b"\0" * 5)
        store.read_into(Key(way), target, at=0, etag=found.etag)
        assert content_of(target) in (b"hello", b"xxxxx", b"ppppp")
        with pytest.raises(ConfigurationError) as caught:
            bare.read_into(Key(way), files.of(b"....."), at=0, etag=found.etag)
        assert "SSECustomerKey" in caught.value.hint


def test_sse_c_goes_along_with_every_part_and_copy(made, s3_bucket, proxy_to):
    """SSE-C: the key is in each request that makes or reads, and for a copy's source too."""
    front = proxy_to(s3_bucket.endpoint)

    made(s3_bucket._replace(endpoint=front.url), s3_additional_kwargs=CUSTOMER_KEY)

    name = "x-amz-server-side-encryption-customer-key"
    writes = front.seen(
        lambda r: r.method == "PUT" or (r.method == "POST" and "uploads" in r.query)
    )
    assert len(writes) >= 8
    assert not [(r.method, r.target) for r in writes if name not in r.headers]
    copies = [r for r in writes if "x-amz-copy-source" in r.headers]
    assert 3 == len(copies)
    source = "x-amz-copy-source-server-side-encryption-customer-key"
    assert not [r.target for r in copies if source not in r.headers]


def test_a_storage_class_is_what_the_server_stored(made, s3_bucket):
    """``storage_class``."""
    made(s3_bucket, storage_class="STANDARD_IA")

    assert ["STANDARD_IA"] * len(WAYS) == [s3_bucket.head(way)["StorageClass"] for way in WAYS]


def test_tags_are_what_the_server_stored(made, s3_bucket):
    """``tags``."""
    made(s3_bucket, tags={"team": "a b", "cost": "1"})

    client = s3_bucket.client()
    tags = [client.get_object_tagging(Bucket=s3_bucket.name, Key=way)["TagSet"] for way in WAYS]
    client.close()
    assert [{"team": "a b", "cost": "1"}] * len(WAYS) == [
        {tag["Key"]: tag["Value"] for tag in found} for found in tags
    ]


def test_an_acl_is_what_the_server_stored(made, s3_bucket):
    """``acl``."""
    made(s3_bucket, acl="public-read")

    client = s3_bucket.client()
    grants = [client.get_object_acl(Bucket=s3_bucket.name, Key=way)["Grants"] for way in WAYS]
    client.close()
    assert [True] * len(WAYS) == [
        any("AllUsers" in grant["Grantee"].get("URI", "") for grant in found) for found in grants
    ]


@pytest.mark.ceph
def test_tags_and_acl_are_what_a_real_server_stored(made, rgw_bucket, opened, files):
    """
    ``tags`` and ``acl``: anybody reads what was made public, in each of the ways. (Ceph 16 keeps the tags of
    what was written at once only.)
    """
    made(rgw_bucket, acl="public-read", tags={"team": "vision"})
    anybody = opened(rgw_bucket.connection(anonymous=True))

    for way in WAYS:
        target = files.of(b"\0" * 5)
        anybody.read_into(Key(way), target, at=0, etag=anybody.stat(Key(way)).etag)
    client = rgw_bucket.client()
    tags = [
        client.get_object_tagging(Bucket=rgw_bucket.name, Key=way) for way in ("small", "larger")
    ]
    client.close()
    assert [[{"Key": "team", "Value": "vision"}]] * 2 == [found["TagSet"] for found in tags]


def test_the_payer_is_in_every_request(made, s3_bucket, proxy_to):
    """``requester_pays``, also for parts and copies."""
    front = proxy_to(s3_bucket.endpoint)

    store = made(s3_bucket._replace(endpoint=front.url), requester_pays=True)
    store.delete(Key("copy"))
    store.open_uploads("")

    assert {"requester"} == {r.headers.get("x-amz-request-payer") for r in front.seen()}


def test_no_header_is_signed_that_is_changed_on_the_way(made, s3_bucket, proxy_to):
    """GCS's front end changes Accept-Encoding before it checks the signature: nothing may have signed it."""
    front = proxy_to(s3_bucket.endpoint)

    made(s3_bucket._replace(endpoint=front.url))

    signed = {
        r.headers["authorization"].split("SignedHeaders=")[1].split(",")[0] for r in front.seen()
    }
    names = {name for each in signed for name in each.split(";")}
    assert "host" in names
    assert not names & {
        "accept-encoding",
        "user-agent",
        "connection",
        "expect",
        "transfer-encoding",
    }


RESTORED = 'ongoing-request="false", expiry-date="Fri, 21 Dec 2099 00:00:00 GMT"'


@pytest.mark.parametrize(
    ("headers", "archived"),
    [
        ({}, False),
        ({"x_amz_storage_class": "STANDARD_IA"}, False),
        ({"x_amz_storage_class": "GLACIER_IR"}, False),
        ({"x_amz_storage_class": "GLACIER"}, True),
        ({"x_amz_storage_class": "DEEP_ARCHIVE"}, True),
        ({"x_amz_storage_class": "GLACIER", "x_amz_restore": 'ongoing-request="true"'}, True),
        ({"x_amz_storage_class": "GLACIER", "x_amz_restore": RESTORED}, False),
        ({"x_amz_storage_class": "INTELLIGENT_TIERING"}, False),
        (
            {
                "x_amz_storage_class": "INTELLIGENT_TIERING",
                "x_amz_archive_status": "ARCHIVE_ACCESS",
            },
            True,
        ),
        (
            {
                "x_amz_storage_class": "INTELLIGENT_TIERING",
                "x_amz_archive_status": "DEEP_ARCHIVE_ACCESS",
                "x_amz_restore": 'ongoing-request="true"',
            },
            True,
        ),
    ],
)
def test_stat_tells_an_archived_object(s3_bucket, proxy_to, opened, headers, archived):
    """``Stat.archived``: Glacier and the archive tiers, as AWS says it in headers; moto knows no tiers."""
    front = proxy_to(s3_bucket.endpoint)
    found = {"Last_Modified": "Fri, 20 Nov 2026 00:00:00 GMT", "ETag": '"e"', **headers}
    front.on(lambda r: r.method == "HEAD", Answer(200, b"", **found), times=None)

    stat = opened(s3_bucket.connection(endpoint=front.url)).stat(Key("k"))

    assert archived == stat.archived


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_an_archived_object_is_told_by_its_stat_and_its_listing(s3_bucket, opened, storage_class):
    """``Listed.archived``, ``Stat.archived``: True where its bytes can't be read before a restore."""
    s3_bucket.put("cold", b"x", StorageClass=storage_class)
    s3_bucket.put("warm", b"x", StorageClass="GLACIER_IR")
    store = opened(s3_bucket.connection())

    listed = {item.key: item.archived for page in store.pages("") for item in page}

    assert {"cold": True, "warm": False} == listed
    assert [True, False] == [store.stat(Key(key)).archived for key in ("cold", "warm")]


def test_a_restored_object_is_read_where_listings_do_not_tell(s3_bucket, opened, files):
    """A restored copy is readable, also in a store that isn't AWS and so isn't asked for it in a listing."""
    s3_bucket.put("cold", b"hello", StorageClass="GLACIER")
    client = s3_bucket.client()
    for _ in range(3):  # moto restores when it is looked at for the second time
        client.restore_object(Bucket=s3_bucket.name, Key="cold", RestoreRequest={"Days": 1})
        s3_bucket.head("cold")
    client.close()
    store = opened(s3_bucket.connection())

    [[listed]] = list(store.pages(""))
    target = files.of(b".....")
    store.read_into(Key("cold"), target, at=0, etag=listed.etag)

    assert not listed.archived


@pytest.mark.parametrize("engine", ["read", "copy"])
def test_an_archived_object_that_is_read_all_the_same_is_named(s3_bucket, opened, files, engine):
    """Archived (66) by its own name, from whichever call meets it."""
    etag = s3_bucket.put("cold", b"hello", StorageClass="GLACIER")
    store = opened(s3_bucket.connection())
    call = {
        "read": lambda: store.read_into(Key("cold"), files.of(b"....."), at=0, etag=etag),
        "copy": lambda: store.copy(Key("cold"), etag, Key("to"), Attributes()),
    }[engine]

    with pytest.raises(SourceMissingError, match=r"'cold' .* is archived") as caught:
        call()

    assert "restore" in caught.value.hint


def test_fewer_parts_are_planned_where_the_store_takes_fewer(s3_bucket, opened):
    """The store's own limits: Scaleway takes 1,000 parts, AWS 10,000."""
    at = {
        endpoint: opened(s3_bucket.connection(endpoint=endpoint)).limits.most_parts
        for endpoint in ("https://s3.fr-par.scw.cloud", "https://s3.eu-west-1.amazonaws.com")
    }

    assert {
        "https://s3.fr-par.scw.cloud": 1_000,
        "https://s3.eu-west-1.amazonaws.com": 10_000,
    } == at


def test_a_denied_read_is_no_archive(s3_bucket, proxy_to, opened, files):
    """A 403 that says AccessDenied is of the login (77)."""
    front = proxy_to(s3_bucket.endpoint)
    front.on(lambda _: True, s3_error(403, "AccessDenied"), times=None)

    with pytest.raises(CredentialsError):
        opened(s3_bucket.connection(endpoint=front.url)).stat(Key("k"))
