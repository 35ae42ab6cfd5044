"""Every option of an S3 connection reaches a server that would notice, from each of the engines."""

import os
import re

import msgspec
import pytest
from servers.buckets import S3Bucket

from lighterman.connections.model import Bucket
from lighterman.errors import ConditionFailedError, ConfigurationError, CredentialsError
from lighterman.stores.contract import Attributes, Key, Part

MIB = 1024 * 1024
GIVEN = Attributes("text/plain", 0o640, 5_000_000_000)

PART_BYTES = 5 * 1024 * 1024


def use_every_engine(store, files) -> None:
    """Listing and stat by the thin call, a read and a small write by obstore, the rest by botocore."""
    etag = store.write(Key("small"), files.of(b"hello"), GIVEN)
    store.write(Key("larger"), files.of(b"x" * 2 * MIB), GIVEN)
    upload_id = store.begin(Key("parts"), GIVEN, part_bytes=PART_BYTES)
    part = store.send_part(Key("parts"), upload_id, 1, files.of(b"part"))
    store.finish(Key("parts"), upload_id, [part])
    store.read_into(Key("small"), files.of(b"....."), at=0, etag=etag)
    assert ["larger", "parts", "small"] == [i.key for page in store.pages("") for i in page]
    assert (5, GIVEN) == (store.stat(Key("small")).size_bytes, store.stat(Key("small")).attributes)


@pytest.fixture
def proxy(proxy_to, moto_endpoint):
    """Between the store and moto."""
    return proxy_to(moto_endpoint)


@pytest.fixture
def through(s3_bucket: S3Bucket, proxy):
    """A connection whose endpoint is the proxy."""

    def connect(**options):
        return s3_bucket.connection(**{"endpoint": proxy.url} | options)

    return connect


def test_a_custom_endpoint_is_asked_by_path(through, proxy, opened, files, s3_bucket):
    """``endpoint``, and ``addressing_style`` auto: the bucket is in the path, as every store knows it."""
    use_every_engine(opened(through()), files)

    assert {f"127.0.0.1:{proxy.port}"} == {r.headers["host"] for r in proxy.seen()}
    assert {s3_bucket.name} == {r.path.split("/")[1] for r in proxy.seen()}


@pytest.mark.parametrize("where", ["option", "config_kwargs"])
def test_virtual_style_puts_the_bucket_into_the_host(s3_bucket, proxy, opened, files, where):
    """``addressing_style: virtual``, also where it stands in ``config_kwargs``."""
    said = (
        {"addressing_style": "virtual"}
        if where == "option"
        else {"config_kwargs": {"s3": {"addressing_style": "virtual"}}}
    )
    connection = s3_bucket.connection(
        endpoint="http://s3.us-east-1.amazonaws.com", proxy=proxy.url, **said
    )

    use_every_engine(opened(connection), files)

    assert {f"{s3_bucket.name}.s3.us-east-1.amazonaws.com"} == {
        r.headers["host"] for r in proxy.seen()
    }


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9000", "http://[::1]:9000"])
def test_virtual_style_at_an_address_is_refused(s3_bucket, opened, endpoint):
    """A bucket can't be put before an address: said before a name is looked up that can't be there."""
    connection = s3_bucket.connection(endpoint=endpoint, addressing_style="virtual")

    with pytest.raises(ConfigurationError, match="needs a host name"):
        opened(connection)


def test_path_style_is_kept_at_aws(s3_bucket, proxy, opened, files):
    """``addressing_style: path``."""
    connection = s3_bucket.connection(
        endpoint="http://s3.us-east-1.amazonaws.com", proxy=proxy.url, addressing_style="path"
    )

    use_every_engine(opened(connection), files)

    assert {"s3.us-east-1.amazonaws.com"} == {r.headers["host"] for r in proxy.seen()}


def test_without_an_endpoint_it_is_aws_over_https(s3_bucket, proxy_to, authority, opened, files):
    """Without an endpoint: AWS's own of the region, over https, by virtual host, through the proxy."""
    proxy = proxy_to(s3_bucket.endpoint, connect_tls=authority.server)
    connection = s3_bucket.connection(
        endpoint=None, region="eu-west-1", proxy=proxy.url, ca_bundle=str(authority.ca_bundle)
    )
    host = f"{s3_bucket.name}.s3.eu-west-1.amazonaws.com"

    use_every_engine(opened(connection), files)

    tunnels = proxy.seen(lambda r: r.method == "CONNECT")
    assert {f"{host}:443"} == {r.target for r in tunnels}
    assert {host} == {r.headers["host"] for r in proxy.seen(lambda r: r.method != "CONNECT")}


@pytest.mark.parametrize(
    "options",
    [{"region": "eu-west-3"}, {"client_kwargs": {"region_name": "eu-west-3"}, "region": None}],
)
def test_the_region_is_signed_for(through, proxy, opened, files, options):
    """``region``, or ``client_kwargs``' ``region_name``."""
    use_every_engine(opened(through(**options)), files)

    scopes = {
        re.search(r"/([\w-]+)/s3/aws4_request", r.headers["authorization"])[1] for r in proxy.seen()
    }
    assert {"eu-west-3"} == scopes


def test_client_kwargs_name_the_endpoint(s3_bucket, proxy, opened, files):
    """``client_kwargs``: botocore client's, with ZenML's meaning."""
    connection = s3_bucket.connection(endpoint=None, client_kwargs={"endpoint_url": proxy.url})

    use_every_engine(opened(connection), files)

    assert proxy.seen()


def test_client_kwargs_hold_the_login(s3_bucket, proxy, opened, files):
    """``client_kwargs``: the keys among them are the login."""
    kwargs = {"aws_access_key_id": "AKIDFROMKWARGS", "aws_secret_access_key": "from-kwargs"}
    connection = msgspec.structs.replace(
        s3_bucket.connection(endpoint=proxy.url, client_kwargs=kwargs), env={}
    )

    use_every_engine(opened(connection), files)

    assert all("AKIDFROMKWARGS" in r.headers["authorization"] for r in proxy.seen())


def test_config_kwargs_reach_every_request(through, proxy, opened, files):
    """``config_kwargs``: botocore Config's, with ZenML's meaning."""
    connection = through(config_kwargs={"user_agent_extra": "team/vision"})

    use_every_engine(opened(connection), files)

    assert all("team/vision" in r.headers["user-agent"] for r in proxy.seen())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"config_kwargs": {"max_pool_conections": 5}}, "max_pool_conections"),
        ({"config_kwargs": {"s3": "path"}}, "mapping"),
        ({"client_kwargs": {"apiversion": "2006"}}, "apiversion"),
        ({"s3_additional_kwargs": {"ServerSideEncription": "AES256"}}, "ServerSideEncription"),
    ],
)
def test_kwargs_that_nothing_takes_are_named(through, opened, files, options, named):
    """Nothing is silently ignored."""
    with pytest.raises(ConfigurationError, match=named) as caught:
        use_every_engine(opened(through(**options)), files)

    assert caught.value.hint


def test_kwargs_of_the_wrong_type_are_refused(through, opened, files):
    """What a call itself refuses is a matter of the configuration."""
    store = opened(through(s3_additional_kwargs={"Metadata": "no mapping"}))

    with pytest.raises(ConfigurationError, match="PutObject"):
        store.write(Key("k"), files.of(b"x"), Attributes())


@pytest.mark.parametrize(
    "options", [{"anonymous": True}, {"config_kwargs": {"signature_version": "unsigned"}}]
)
def test_anonymous_signs_nothing(through, proxy, opened, files, s3_bucket, options):
    """``anonymous: true``; ``config_kwargs``' ``signature_version: unsigned`` means the same."""
    etag = s3_bucket.put("public", b"hello", ACL="public-read")
    store = opened(through(**options))

    store.stat(Key("public"))
    store.read_into(Key("public"), files.of(b"....."), at=0, etag=etag)
    for call in every_engine_alone(store, files):
        call()

    assert 5 <= len(proxy.seen())
    assert not proxy.seen(lambda r: "authorization" in r.headers)


@pytest.mark.ceph
def test_anonymous_reads_what_is_public_only(rgw_bucket, opened, files):
    """``anonymous: true``, at a server that checks."""
    rgw_bucket.put("public", b"hello", ACL="public-read")
    rgw_bucket.put("private", b"hello")
    store = opened(rgw_bucket.connection(anonymous=True))
    target = files.of(b".....")

    store.read_into(Key("public"), target, at=0, etag=store.stat(Key("public")).etag)
    with pytest.raises(CredentialsError):
        store.stat(Key("private"))


def test_a_private_ca_is_trusted_when_it_is_given(s3_bucket, proxy_to, authority, opened, files):
    """``ca_bundle``."""
    front = proxy_to(s3_bucket.endpoint, tls=authority.server)
    connection = s3_bucket.connection(endpoint=front.url, ca_bundle=str(authority.ca_bundle))

    use_every_engine(opened(connection), files)

    assert front.seen()


def test_a_private_ca_is_not_trusted_otherwise(s3_bucket, proxy_to, authority, opened, files):
    """``ca_bundle``: without it the certificate is refused, and the mend is named."""
    front = proxy_to(s3_bucket.endpoint, tls=authority.server)
    store = opened(s3_bucket.connection(endpoint=front.url))

    for call in every_engine_alone(store, files):
        with pytest.raises(ConfigurationError, match="certificate") as caught:
            call()
        assert "ca_bundle" in caught.value.hint
    assert [] == front.seen()


def test_verification_can_be_turned_off(s3_bucket, proxy_to, authority, opened, files):
    """``AWS_VERIFY_SSL: false``."""
    front = proxy_to(s3_bucket.endpoint, tls=authority.server)
    connection = s3_bucket.connection(endpoint=front.url)
    connection = msgspec.structs.replace(
        connection, env={**connection.env, "AWS_VERIFY_SSL": "false"}
    )

    use_every_engine(opened(connection), files)

    assert front.seen()


@pytest.mark.parametrize(
    "content", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_ca_bundle_without_certificates_is_named(s3_bucket, opened, tmp_path, content):
    """78 before any request, also where the endpoint speaks http."""
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"{bundle} is no file of PEM certificates"):
        opened(s3_bucket.connection(ca_bundle=str(bundle)))


@pytest.mark.parametrize(
    "proxy", ["socks5://127.0.0.1:1", "http://", "http://h:65536", "http://[::1", "http://a b"]
)
def test_a_proxy_that_can_be_none_is_refused(s3_bucket, opened, proxy):
    """78, with how to write it."""
    with pytest.raises(ConfigurationError, match="is no URL of one") as caught:
        opened(s3_bucket.connection(proxy=proxy))
    assert "http://proxy.example:3128" in caught.value.hint


@pytest.mark.parametrize(
    "options",
    [
        {"config_kwargs": {"no_such": 1}},
        {"config_kwargs": {"retries": "abc"}},
        {"config_kwargs": {"connect_timeout": "abc"}},
        {"config_kwargs": {"read_timeout": 0}},
        {"config_kwargs": {"user_agent": "a\nb"}},
        {"client_kwargs": {"no_such": 1}},
        {"client_kwargs": {"config": 3}},
    ],
)
def test_kwargs_that_botocore_refuses_are_known_at_opening(s3_bucket, opened, options):
    """78 also where only obstore would be used, which knows nothing of them."""
    with pytest.raises(ConfigurationError, match="kwargs"):
        opened(s3_bucket.connection(**options))


def test_a_ca_bundle_that_is_not_there_is_named(s3_bucket, opened):
    """``ca_bundle``: a path without a file is a matter of the configuration."""
    with pytest.raises(ConfigurationError, match=r"/not/there\.pem"):
        opened(s3_bucket.connection(ca_bundle="/not/there.pem"))


def every_engine_alone(store, files):
    """One call by each engine."""
    return [
        lambda: list(store.pages("")),
        lambda: store.write(Key("small"), files.of(b"x"), Attributes()),
        lambda: store.begin(Key("parts"), Attributes(), part_bytes=PART_BYTES),
    ]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_the_proxy_of_the_environment_is_used(s3_bucket, proxy, opened, files, name):
    """Proxy: the usual HTTPS_PROXY, HTTP_PROXY, NO_PROXY."""
    host = s3_bucket.endpoint.removeprefix("http://")

    use_every_engine(opened(s3_bucket.connection(), {name: proxy.url}), files)

    assert {host} == {r.headers["host"] for r in proxy.seen()}
    assert all(r.target.startswith(f"http://{host}/") for r in proxy.seen())


def test_no_proxy_is_heeded(s3_bucket, proxy, opened, files):
    """Proxy: the usual NO_PROXY."""
    environ = {"HTTP_PROXY": proxy.url, "NO_PROXY": "example.org,127.0.0.1"}

    use_every_engine(opened(s3_bucket.connection(), environ), files)

    assert [] == proxy.seen()


def test_the_proxy_of_config_kwargs_is_used(s3_bucket, proxy, opened, files):
    """``config_kwargs``' ``proxies``."""
    connection = s3_bucket.connection(config_kwargs={"proxies": {"http": proxy.url}})

    use_every_engine(opened(connection), files)

    assert proxy.seen()


def test_a_proxy_gets_its_own_login(s3_bucket, proxy, opened, files):
    """Proxy: a login in its URL is for it alone."""
    url = proxy.url.replace("http://", "http://user:pass%40word@")

    use_every_engine(opened(s3_bucket.connection(proxy=url)), files)

    assert all("proxy-authorization" in r.headers for r in proxy.seen())


def is_upload(request) -> bool:
    return request.method == "PUT" and request.body_bytes > MIB


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("where", ["option", "config_kwargs"])
def test_checksums_are_sent_when_supported(
    s3_bucket, proxy_to, authority, opened, files, tls, where
):
    """``checksums: when_supported``."""
    front = proxy_to(s3_bucket.endpoint, tls=authority.server if tls else None)
    said = (
        {"checksums": "when_supported"}
        if where == "option"
        else {"config_kwargs": {"request_checksum_calculation": "when_supported"}}
    )
    ca_bundle = str(authority.ca_bundle) if tls else None
    store = opened(s3_bucket.connection(endpoint=front.url, ca_bundle=ca_bundle, **said))

    store.write(Key("larger"), files.of(b"x" * 2 * MIB), Attributes())

    [sent] = front.seen(is_upload)
    names = {*sent.headers} | {sent.headers.get("x-amz-trailer")}
    assert "x-amz-checksum-crc32" in names


def test_no_checksums_are_sent_to_other_stores_by_default(through, proxy, opened, files):
    """``when_required``: for S3-compatible stores that refuse the newer checksums; the default there."""
    store = opened(through())

    store.write(Key("larger"), files.of(b"x" * 2 * MIB), Attributes())

    [sent] = proxy.seen(is_upload)
    assert not [name for name in sent.headers if "checksum" in name or "trailer" in name]
    assert "UNSIGNED-PAYLOAD" == sent.headers["x-amz-content-sha256"]
    assert str(2 * MIB) == sent.headers["content-length"]


@pytest.mark.parametrize(
    ("options", "header", "value"),
    [
        (
            {"s3_additional_kwargs": {"ServerSideEncryption": "AES256"}},
            "x-amz-server-side-encryption",
            "AES256",
        ),
        ({"kms_key": "alias/k"}, "x-amz-server-side-encryption-aws-kms-key-id", "alias/k"),
        ({"acl": "bucket-owner-full-control"}, "x-amz-acl", "bucket-owner-full-control"),
        ({"tags": {"team": "a b", "cost": "1"}}, "x-amz-tagging", "team=a+b&cost=1"),
        ({"storage_class": "STANDARD_IA"}, "x-amz-storage-class", "STANDARD_IA"),
        (
            {
                "storage_class": "STANDARD_IA",
                "s3_additional_kwargs": {"StorageClass": "ONEZONE_IA"},
            },
            "x-amz-storage-class",
            "ONEZONE_IA",
        ),
        ({"s3_additional_kwargs": {"Metadata": {"team": "vision"}}}, "x-amz-meta-team", "vision"),
    ],
)
def test_what_objects_are_made_with_is_said_at_each_making(
    through, proxy, opened, files, options, header, value
):
    """``storage_class``, ``kms_key``, ``acl``, ``tags``, ``s3_additional_kwargs``: every upload call."""
    store = opened(through(**options))
    use_every_engine(store, files)
    store.copy(Key("small"), store.stat(Key("small")).etag, Key("copy"), GIVEN)

    def makes_an_object(request) -> bool:
        starts = request.method == "POST" and "uploads" in request.query
        return starts or (request.method == "PUT" and "partNumber" not in request.query)

    made = proxy.seen(makes_an_object)
    assert 4 == len(made)
    assert {value} == {r.headers.get(header) for r in made}
    assert GIVEN == store.stat(Key("copy")).attributes


def test_etags_are_not_told_of_what_is_encrypted_with_kms(through, opened, files):
    """``None`` where the store's ETags can't be computed."""
    store = opened(through(kms_key="alias/k"))

    content = files.of(b"x")
    etag = store.write(Key("file"), content, Attributes())
    [[listed]] = list(store.pages("file"))

    assert store.part_etag(content) is None
    assert store.made_of(Key("file"), [Part(1, etag, 1)]) is None
    assert not store.has_content(listed, content, PART_BYTES)


def test_requester_pays_is_said_in_each_request(through, proxy, opened, files):
    """``requester_pays``."""
    use_every_engine(opened(through(requester_pays=True)), files)

    assert {"requester"} == {r.headers.get("x-amz-request-payer") for r in proxy.seen()}


def test_a_customer_key_is_sent_to_read_too(through, proxy, opened, files):
    """``s3_additional_kwargs``: an object under the customer's own key can't be read without it."""
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    store = opened(through(s3_additional_kwargs=key))
    etag = store.write(Key("secret"), files.of(b"hello"), Attributes())

    store.stat(Key("secret"))
    store.read_into(Key("secret"), files.of(b"....."), at=0, etag=etag)

    reads = proxy.seen(lambda r: r.method in {"GET", "HEAD"})
    assert 2 == len(reads)
    for request in reads:
        assert "AES256" == request.headers["x-amz-server-side-encryption-customer-algorithm"]
        assert request.headers["x-amz-server-side-encryption-customer-key"]
        assert request.headers["x-amz-server-side-encryption-customer-key-md5"]
    assert store.part_etag(files.of(b"x")) is None


def test_content_is_taken_as_stored(through, proxy, opened, files, s3_bucket):
    """Content is taken as stored (no transparent decompression)."""
    stored = b"\x1f\x8b not really gzip"
    s3_bucket.put("log.gz", stored, ContentEncoding="gzip")
    store = opened(through())
    target = files.of(b"\0" * len(stored))

    store.read_into(Key("log.gz"), target, at=0, etag=store.stat(Key("log.gz")).etag)

    from servers.windows import content_of

    assert stored == content_of(target)


def test_a_bucket_with_a_prefix_keeps_it_for_others(through, opened):
    """The connection's own root inside the bucket: ``""`` or a path without slashes at its ends."""
    connection = msgspec.structs.replace(through(), schema=Bucket("s3://some-bucket/a/b/"))

    store = opened(connection)

    assert "a/b" == store.prefix
    assert store.destination.endswith("/some-bucket")


@pytest.mark.parametrize("bucket", ["s3://", "", "/"])
def test_a_connection_without_a_bucket_is_refused(through, opened, bucket):
    """The catalog is off (78)."""
    connection = msgspec.structs.replace(through(), schema=Bucket(bucket))

    with pytest.raises(ConfigurationError, match="no bucket"):
        opened(connection)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_CHECKSUM_ALGORITHM", "none"),
        ("AWS_CONDITIONAL_PUT", "disabled"),
        ("AWS_COPY_IF_NOT_EXISTS", "none"),
        ("AWS_DISABLE_TAGGING", "none"),
        ("AWS_S3_EXPRESS", "none"),
        ("AWS_SERVER_SIDE_ENCRYPTION", "none"),
        ("AWS_SKIP_SIGNATURE", "true"),
        ("AWS_BUCKET", "another"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
    ],
)
def test_variables_of_obstores_own_mean_nothing(s3_bucket, opened, files, monkeypatch, name, value):
    """What is written is what the connection says, whatever an engine would read by itself."""
    monkeypatch.setenv(name, value)
    store = opened(s3_bucket.connection())

    store.write(Key("new"), files.of(b"x"), GIVEN, only_if_absent=True)
    with pytest.raises(ConditionFailedError):
        store.write(Key("new"), files.of(b"y"), GIVEN, only_if_absent=True)

    assert {"new": 1} == s3_bucket.contents()
    assert value == os.environ[name]
