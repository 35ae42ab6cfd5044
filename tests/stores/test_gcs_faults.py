"""What happens between the GCS store and a server that misbehaves: each trouble is the error that it is."""

import os

import pytest
from servers.faults import (
    Answer,
    CallAfter,
    Cut,
    Reset,
    Stall,
    StallBody,
    gcs_error,
    s3_error,
)
from servers.windows import content_of

from lighterman.errors import (
    BucketMissingError,
    CannotWriteError,
    ConfigurationError,
    CredentialsError,
    SlowDownError,
    SourceChangedError,
    SourceMissingError,
    TransientError,
)
from lighterman.stores.contract import Attributes, ETag, Key

MIB = 1024 * 1024
PART_BYTES = MIB
SHORT_STALL_SECONDS = 1.0


def is_listing(request):
    return request.method == "GET" and request.path.endswith("/o")


def is_stat(request):
    return request.method == "GET" and "/o/" in request.path and "alt" not in request.query


def is_media(request):
    return request.query.get("alt") == "media"


def is_xml_get(request):
    return request.method == "GET" and not request.path.startswith("/storage/")


def is_xml_put(request):
    return request.method == "PUT" and not request.path.startswith("/upload/")


def is_upload(request):
    return request.query.get("uploadType") == "multipart"


def is_begin(request):
    return request.method == "POST" and request.query.get("uploadType") == "resumable"


def is_chunk(request):
    return request.method == "PUT" and "content-range" in request.headers


def is_rewrite(request):
    return "/rewriteTo/" in request.path


def is_delete(request):
    return request.method == "DELETE"


MATCHES = {
    "list": is_listing,
    "stat": is_stat,
    "read": is_xml_get,
    "read odd": is_media,
    "write": is_xml_put,
    "write larger": is_upload,
    "begin": is_begin,
    "part": is_chunk,
    "copy": is_rewrite,
    "delete": is_delete,
}
BY_XML = {"read", "write"}


@pytest.fixture
def proxy(proxy_to, gcs):
    return proxy_to(gcs.endpoint)


@pytest.fixture
def store(gcs_bucket, proxy, opened, request):
    """A store behind the proxy; its patience is short where a test's fault is a stall."""
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    is_stall = isinstance(params.get("fault"), (Stall, StallBody))
    connection = gcs_bucket.connection(endpoint=proxy.url)
    return opened(connection, stall_seconds=SHORT_STALL_SECONDS if is_stall else 30.0)


@pytest.fixture
def etag(gcs_bucket) -> ETag:
    return ETag(gcs_bucket.put("file", os.urandom(3 * MIB)))


@pytest.fixture
def operations(store, proxy, files, gcs_bucket, etag):
    """One call by each engine and way; the requests that it makes are those of ``MATCHES``."""
    window = files.of(b"\0" * 3 * MIB)
    part = files.of(b"\0" * PART_BYTES)
    larger = files.of(b"\0" * (MIB + 1))
    odd = ETag(gcs_bucket.put("a//b", b"\0" * 3 * MIB))
    upload_id = store.begin(Key("parts"), Attributes(), part_bytes=PART_BYTES)
    proxy.forget()
    return {
        "list": lambda: list(store.pages("")),
        "stat": lambda: store.stat(Key("file")),
        "read": lambda: store.read_into(Key("file"), window, at=0, etag=etag),
        "read odd": lambda: store.read_into(Key("a//b"), window, at=0, etag=odd),
        "write": lambda: store.write(Key("small"), files.of(b"x"), Attributes()),
        "write larger": lambda: store.write(Key("larger"), larger, Attributes()),
        "begin": lambda: store.begin(Key("more"), Attributes(), part_bytes=PART_BYTES),
        "part": lambda: store.send_part(Key("parts"), upload_id, 1, part),
        "copy": lambda: store.copy(Key("file"), etag, Key("copy"), Attributes()),
        "delete": lambda: store.delete(Key("file")),
    }


def refusal(operation, status, reason, message="") -> Answer:
    """An error as the API says it that the operation uses."""
    if operation in BY_XML:
        return s3_error(status, reason, message)
    return gcs_error(status, reason, message)


@pytest.mark.parametrize("operation", MATCHES)
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ((503, "backendError"), SlowDownError),
        ((429, "rateLimitExceeded"), SlowDownError),
        ((403, "userRateLimitExceeded"), SlowDownError),
        ((500, "internalError"), TransientError),
        ((502, ""), TransientError),
        (Reset(), TransientError),
        (Stall(), TransientError),
    ],
    ids=["503", "429", "403", "500", "502", "reset", "stall"],
)
def test_trouble_that_may_pass_is_transient(proxy, operations, operation, fault, error):
    """5xx, 429, resets, timeouts, stalls: worth another try by the caller, after a few quick ones."""
    given = refusal(operation, *fault) if isinstance(fault, tuple) else fault
    proxy.on(MATCHES[operation], given, times=None)

    with pytest.raises(TransientError) as caught:
        operations[operation]()

    assert error is type(caught.value)
    assert 1 <= len(proxy.seen(MATCHES[operation])) <= 3


@pytest.mark.parametrize("operation", [name for name in MATCHES if name != "delete"])
def test_one_reset_is_not_even_told(proxy, operations, operation):
    """A method makes at most a few quick attempts of its own."""
    proxy.on(MATCHES[operation], Reset(), times=1)

    operations[operation]()

    # A session is asked in between how far it is.
    assert (3 if operation == "part" else 2) == len(proxy.seen(MATCHES[operation]))


GET = "x@y.iam.gserviceaccount.com does not have storage.objects.get access to the Google Cloud Storage object."
CREATE = GET.replace("objects.get", "objects.create")
REFUSALS = [
    (401, "authError", "Invalid Credentials", CredentialsError, "renew"),
    (
        401,
        "required",
        "Anonymous caller does not have storage.objects.get access",
        CredentialsError,
        "as nobody",
    ),
    (403, "forbidden", GET, CredentialsError, "storage.objects.get on the bucket: roles/storage.o"),
    (403, "forbidden", CREATE, CredentialsError, "roles/storage.objectCreator"),
    (
        403,
        "forbidden",
        "pay@x does not have serviceusage.services.use access",
        CredentialsError,
        "roles/serviceusage.serviceUsageConsumer",
    ),
    (403, "forbidden", "", CredentialsError, "roles/storage.objectUser"),
    (
        403,
        "forbidden",
        "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: x",
        CredentialsError,
        "perimeter",
    ),
    (403, "accountDisabled", "The billing account is disabled", CredentialsError, "billing"),
    (404, "notFound", "The specified bucket does not exist.", BucketMissingError, "bucket"),
    (
        400,
        "required",
        "Bucket is a requester pays bucket but no user project provided.",
        ConfigurationError,
        "options.requester_pays",
    ),
    (400, "invalid", "Cloud KMS key not found", ConfigurationError, "options.kms_key"),
    (400, "invalid", "Invalid argument.", ConfigurationError, "storage_class"),
    (403, "retentionPolicyNotMet", "under retention", CannotWriteError, "retention"),
]


@pytest.mark.parametrize("operation", [name for name in MATCHES if name != "part"])
@pytest.mark.parametrize(
    ("status", "reason", "message", "error", "hint"),
    REFUSALS,
    ids=[f"{r[1]}-{r[4]}" for r in REFUSALS],
)
def test_each_refusal_names_its_mend(
    proxy, operations, operation, status, reason, message, error, hint
):
    """Every error says what and where, and how to mend it, from whichever engine it came."""
    given = refusal(operation, status, reason, message)
    proxy.on(MATCHES[operation], given, times=None)

    with pytest.raises(error) as caught:
        operations[operation]()

    assert isinstance(caught.value, error)
    assert hint in caught.value.hint
    assert "127.0.0.1" in caught.value.message
    assert "bucket" == caught.value.connection
    assert message == "" or message not in str(caught.value)


def test_a_missing_object_is_told_from_a_missing_bucket(store, proxy):
    """Where a 404 says only that something isn't there, the bucket is looked for."""
    proxy.on(is_stat, gcs_error(404, "notFound", "Not Found"), times=None)
    with pytest.raises(SourceMissingError):
        store.stat(Key("file"))

    proxy.on(is_listing, gcs_error(404, "notFound", "The specified bucket does not exist."))
    with pytest.raises(BucketMissingError):
        store.stat(Key("file"))


@pytest.mark.parametrize("fault", [Cut(1000), StallBody(1000)], ids=["cut", "stalled"])
@pytest.mark.parametrize("operation", ["read", "read odd"])
def test_a_body_that_never_comes_whole_is_transient(proxy, operations, operation, fault):
    """``TransientError`` when fewer bytes came."""
    proxy.on(MATCHES[operation], fault, times=None)

    with pytest.raises(TransientError):
        operations[operation]()


def test_a_body_that_was_cut_goes_on(store, gcs_bucket, proxy, files, etag):
    """A method makes at most a few quick attempts of its own; the bytes are right in the end."""
    target = files.of(b"\0" * 3 * MIB)
    proxy.on(is_xml_get, Cut(MIB), times=1)

    store.read_into(Key("file"), target, at=0, etag=etag)

    assert gcs_bucket.get("file") == content_of(target)
    assert 2 == len(proxy.seen(is_xml_get))


def test_a_body_is_never_of_two_objects(store, gcs_bucket, proxy, files, etag):
    """Pinned to ``etag``: an object that is replaced while its body is read gives no mix."""
    proxy.on(is_xml_get, Cut(MIB), times=1)
    proxy.on(is_xml_get, CallAfter(lambda _: gcs_bucket.put("file", os.urandom(3 * MIB))), times=1)

    with pytest.raises((SourceChangedError, TransientError)):
        store.read_into(Key("file"), files.of(b"\0" * 3 * MIB), at=0, etag=etag)
    with pytest.raises(SourceChangedError):
        store.read_into(Key("file"), files.of(b"\0" * 3 * MIB), at=0, etag=etag)


@pytest.mark.parametrize("operation", ["list", "stat", "write larger", "copy"])
def test_an_answer_that_is_cut_short_is_transient(proxy, operations, operation):
    """``TransientError``: a body cut short."""
    proxy.on(MATCHES[operation], Cut(40), times=None)

    with pytest.raises(TransientError):
        operations[operation]()


def test_an_answer_that_is_none_of_the_api_is_transient(store, proxy):
    """A page of something on the way isn't taken for a listing."""
    proxy.on(
        is_listing, Answer(200, b"<html>Welcome to the hotel</html>", Content_Type="text/html")
    )

    with pytest.raises(TransientError, match="no JSON"):
        list(store.pages(""))


@pytest.mark.parametrize("size", [10, 2 * MIB])
def test_bytes_that_arrive_as_others_are_told(store, gcs_bucket, proxy, files, size):
    """CRC32C is verified both ways: what the store says that it has is compared."""
    answer = gcs_bucket.put("other", b"y" * size)
    resource = gcs_bucket.head("other")
    told = f'{{"name": "file", "generation": "{answer}", "size": "{size}", "crc32c": "{resource["crc32c"]}",'
    told += f' "updated": "{resource["updated"]}"}}'
    json_answer = Answer(200, told.encode(), Content_Type="application/json")
    proxy.on(
        is_xml_put, Answer(200, ETag='"0123456789abcdef0123456789abcdef"', x_goog_generation=answer)
    )
    proxy.on(is_upload, json_answer)
    proxy.on(is_stat, json_answer)

    with pytest.raises(TransientError, match="other bytes"):
        store.write(Key("file"), files.of(b"x" * size), Attributes())


def test_an_etag_that_is_no_md5_is_no_damage(store, gcs_bucket, proxy, files):
    """A bucket that encrypts with a key of its own has other ETags: CRC32C is asked for."""
    generations = []

    def note(_):
        generations.append(gcs_bucket.head("file")["generation"])

    proxy.on(is_xml_put, CallAfter(note))
    store.write(Key("file"), files.of(b"x"), Attributes())
    asked = len(proxy.seen(is_stat))
    proxy.on(is_xml_put, Answer(200, ETag='"-CKih16GjycICEAE="', x_goog_generation=generations[0]))

    etag = store.write(Key("file"), files.of(b"x"), Attributes())

    assert (0, generations[0]) == (asked, etag)
    assert 1 == len(proxy.seen(is_stat))


def test_a_copy_that_says_nothing_of_what_it_made_ends(store, proxy, etag):
    """``TransientError``, instead of asking for ever."""
    proxy.on(
        is_rewrite, Answer(200, b'{"done": true}', Content_Type="application/json"), times=None
    )

    with pytest.raises(TransientError, match="copied 'file'"):
        store.copy(Key("file"), etag, Key("other"), Attributes())
    assert 1 == len(proxy.seen(is_rewrite))
