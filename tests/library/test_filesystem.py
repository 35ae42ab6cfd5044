"""`lighterman.get_fs(NAME, asynchronous=False)` → a resolved fsspec filesystem for pandas, PyArrow and the like."""

import asyncio
import gc
import pickle
import subprocess
import sys

import pyarrow as pa
import pytest
from catalogs import NAME, write_catalog
from fsspec import AbstractFileSystem
from pyarrow import dataset as datasets
from pyarrow import parquet

import lighterman
from lighterman.connections.model import Mount
from lighterman.errors import ConfigurationError, CredentialsError

TABLE = pa.table({"step": list(range(1000)), "loss": [1 / (n + 1) for n in range(1000)]})


@pytest.fixture
def fs(catalog):
    """The filesystem under test, empty."""
    fs = lighterman.get_fs(NAME, catalog=catalog, environ={})
    yield fs
    fs.close()


def test_pyarrow_writes_and_reads_parquet(fs, place):
    """A Parquet file through `get_fs`, on every kind; what one wrote is a file of the place."""
    parquet.write_table(TABLE, "data/a.parquet", filesystem=fs)
    assert TABLE == parquet.read_table("data/a.parquet", filesystem=fs)
    assert ["data/a.parquet"] == [entry.key for entry in place.list()]


def test_pyarrow_reads_a_dataset_that_was_uploaded(fs, place, tmp_path):
    """A directory of Parquet files that `upload_dir` brought, columns and rows chosen."""
    for number in range(3):
        (tmp_path / "local").mkdir(exist_ok=True)
        parquet.write_table(TABLE, tmp_path / "local" / f"{number}.parquet")
    place.upload_dir(tmp_path / "local", "train")
    dataset = datasets.dataset("train", filesystem=fs, format="parquet")
    found = dataset.to_table(columns=["step"], filter=datasets.field("step") < 10)
    assert ["train/0.parquet", "train/1.parquet", "train/2.parquet"] == sorted(dataset.files)
    assert (30, ["step"]) == (found.num_rows, found.column_names)


def test_it_is_a_filesystem_like_any_other(fs):
    """Files are written, read, listed, copied, moved and removed by paths below the root."""
    assert isinstance(fs, AbstractFileSystem)
    fs.pipe_file("a/b.txt", b"hello")
    fs.write_text("a/c.txt", "world")
    assert b"hello" == fs.cat_file("a/b.txt")
    with fs.open("a/c.txt", "r") as file:
        assert "world" == file.read()
    assert ["a/b.txt", "a/c.txt"] == sorted(fs.ls("a", detail=False))
    assert ["a/b.txt", "a/c.txt"] == sorted(fs.find(""))
    assert ["a/b.txt"] == fs.glob("a/b*")
    assert 5 == fs.info("a/b.txt")["size"]
    fs.mv("a/b.txt", "d.txt")
    fs.rm("a", recursive=True)
    assert ["d.txt"] == fs.find("")
    with pytest.raises(FileNotFoundError):
        fs.cat_file("a/b.txt")


@pytest.mark.filterwarnings(
    "ignore:Sending a large body:ResourceWarning"
)  # gcsfs, adlfs to aiohttp
def test_a_large_file_is_written_by_parts(fs):
    """More than one block, and read back by ranges."""
    content = bytes(range(256)) * 4096 * 60
    with fs.open("large", "wb") as file:
        file.write(content)
    assert len(content) == fs.size("large")
    with fs.open("large", "rb") as file:
        file.seek(len(content) - 1000)
        assert content[-1000:] == file.read()


def test_whole_uris_are_taken_below_the_root(fs, place, kind):
    """Who composes URIs may: of the connection's own place, and of no other."""
    scheme = {"volume": "file", "gcs": "gs", "azurite": "abfs"}.get(kind, "s3")
    fs.pipe_file("a/b.txt", b"1")
    assert b"1" == fs.cat_file(f"{scheme}://{fs.path}/a/b.txt")
    assert b"1" == fs.cat_file("/a/b.txt")
    assert b"1" == fs.fs.cat_file(f"{fs.path}/a/b.txt")
    for other in (f"{scheme}://other/a", f"{scheme}://{fs.path}-other/a/b.txt"):
        with pytest.raises(ValueError, match="not below"):
            fs.cat_file(other)


def test_listings_are_fresh(fs, place, tmp_path):
    """What another process wrote since is seen, unless `use_listings_cache`."""
    (tmp_path / "a").write_bytes(b"1")
    place.upload_file(tmp_path / "a", "x/a")
    assert ["x/a"] == fs.ls("x", detail=False)
    place.upload_file(tmp_path / "a", "x/b")
    assert ["x/a", "x/b"] == sorted(fs.ls("x", detail=False))


def test_its_coroutines_run_in_the_callers_loop(catalog):
    """`asynchronous=True`: many reads at once in an event loop, and closed there."""

    async def use():
        fs = lighterman.get_fs(NAME, asynchronous=True, catalog=catalog, environ={})
        await fs.set_session()
        try:
            await asyncio.gather(*(fs._pipe_file(f"x/{n}", bytes([n])) for n in range(20)))
            listed = await fs._ls("x", detail=False)
            read = await asyncio.gather(*(fs._cat_file(f"x/{n}") for n in range(20)))
        finally:
            await fs.aclose()
        return sorted(listed), read

    listed, read = asyncio.run(use())
    assert sorted(f"x/{n}" for n in range(20)) == listed
    assert [bytes([n]) for n in range(20)] == read


def test_an_asynchronous_one_is_closed_in_its_loop(catalog):
    """`close` would wait for a loop that isn't its own."""

    async def use():
        fs = lighterman.get_fs(NAME, asynchronous=True, catalog=catalog, environ={})
        with pytest.raises(RuntimeError, match="aclose"):
            fs.close()
        await fs.aclose()

    asyncio.run(use())


def test_one_that_nobody_uses_any_more_closes_itself(catalog):
    """Without `close` nothing is leaked that Python would warn of: warnings are errors here."""
    fs = lighterman.get_fs(NAME, catalog=catalog, environ={})
    fs.pipe_file("a", b"1")
    del fs
    gc.collect()


def test_each_call_makes_its_own(catalog):
    """No cache of instances: a rotated login isn't shadowed by the filesystem of before."""
    one, two = (lighterman.get_fs(NAME, catalog=catalog, environ={}) for _ in range(2))
    assert one is not two
    assert one.fs is not two.fs
    one.close()
    two.close()


def test_pickled_it_takes_its_name_along(catalog, monkeypatch):
    """DataLoader workers and dask get the connection's name, and look it up themselves."""
    monkeypatch.setenv("LIGHTERMAN_CATALOG", catalog)
    fs = lighterman.get_fs(NAME)
    fs.pipe_file("a", b"1")
    pickled = pickle.dumps(fs)
    fs.close()
    assert b"testsecret" not in pickled
    again = pickle.loads(pickled)
    assert b"1" == again.cat_file("a")
    again.close()


def test_a_given_environment_is_not_pickled(fs):
    """It may hold credentials."""
    with pytest.raises(TypeError, match="environ"):
        pickle.dumps(fs)


def test_a_volume_is_not_left_by_dots(tmp_path):
    """Neither by a sync path nor by an asynchronous one."""
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").write_bytes(b"1")
    fs = lighterman.get_fs(f"file://{tmp_path}/root", environ={})
    for path in ("../outside", f"file://{tmp_path}/root/../outside", "a/../../outside"):
        with pytest.raises(ValueError, match="outside"):
            fs.cat_file(path)

    async def read():
        fs = lighterman.get_fs(f"file://{tmp_path}/root", asynchronous=True, environ={})
        await fs._cat_file("../outside")

    with pytest.raises(ValueError, match="outside"):
        asyncio.run(read())


def test_a_rotated_secret_is_picked_up(account, tmp_path):
    """A mounted file is read again when it changes, by a filesystem that is there already."""
    bucket = account.bucket()
    mount = tmp_path / "secret"
    mount.mkdir()

    def put(key):
        (mount / "AWS_ACCESS_KEY_ID").write_text(key.access_key_id)
        (mount / "AWS_SECRET_ACCESS_KEY").write_text(key.secret_access_key + "\n")

    first, second = account.make_key(), account.make_key()
    put(first)
    connection = bucket.connection(NAME)
    secret = Mount(name="s3", mount_path=str(mount))
    catalog = write_catalog(
        tmp_path / "c.json",
        type(connection)(
            name=NAME,
            kind="s3",
            schema=connection.schema,
            secret=secret,
            options=connection.options,
        ),
    )
    fs = lighterman.get_fs(NAME, catalog=catalog, environ={})
    fs.pipe_file("a", b"1")
    put(second)
    account.withdraw_key(first.access_key_id)
    # Mounted files are looked at once a second.
    fs.fs.session._components.get_component("credential_provider").providers[
        0
    ]._credentials._logins.refreshed()
    assert b"1" == fs.cat_file("a")
    fs.close()


def test_a_role_is_assumed(account, tmp_path):
    """The login really happens, at an STS."""
    bucket = account.bucket()
    connection = bucket.connection(NAME)
    env = {
        "AWS_ACCESS_KEY_ID": account.key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": account.key.secret_access_key,
        "AWS_ROLE_ARN": account.role_arn,
        "AWS_STS_ENDPOINT_URL": account.endpoint,
    }
    document = type(connection)(
        name=NAME, kind="s3", schema=connection.schema, env=env, options=connection.options
    )
    catalog = write_catalog(tmp_path / "c.json", document)
    fs = lighterman.get_fs(NAME, catalog=catalog, environ={})
    fs.pipe_file("a", b"1")
    assert ["a"] == fs.ls("", detail=False)
    fs.close()


def test_an_anonymous_login_signs_nothing(s3_bucket, proxy_to, tmp_path):
    """`options.anonymous`, whatever credentials the environment has."""
    s3_bucket.put("open", b"1", ACL="public-read")
    proxy = proxy_to(s3_bucket.endpoint)
    catalog = tmp_path / "c.yaml"
    catalog.write_text(
        f"[{{name: p, kind: s3, schema: {{bucket: 's3://{s3_bucket.name}'}},"
        f" options: {{endpoint: '{proxy.url}', region: us-east-1, anonymous: true}}}}]"
    )
    environ = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "somebodys-secret"}
    fs = lighterman.get_fs("p", catalog=catalog, environ=environ)
    assert b"1" == fs.cat_file("open")
    fs.close()
    names = {name.lower() for request in proxy.seen() for name in request.headers}
    assert "host" in names
    assert "authorization" not in names


def test_a_login_without_a_part_is_told_at_once(s3_bucket, tmp_path):
    """CredentialsError from `get_fs` itself."""
    connection = s3_bucket.connection(NAME)
    document = type(connection)(
        name=NAME, kind="s3", schema=connection.schema, env={"AWS_ACCESS_KEY_ID": "half"}
    )
    catalog = write_catalog(tmp_path / "c.json", document)
    with pytest.raises(CredentialsError, match="AWS_SECRET_ACCESS_KEY"):
        lighterman.get_fs(NAME, catalog=catalog, environ={})


def test_a_wrong_login_is_a_permission_error(account, tmp_path):
    """What goes wrong later is raised as s3fs does."""
    wrong = account.bucket()._replace(secret_access_key="not-the-secret-at-all")
    catalog = write_catalog(tmp_path / "c.json", wrong.connection(NAME))
    fs = lighterman.get_fs(NAME, catalog=catalog, environ={})
    with pytest.raises(PermissionError):
        fs.ls("")
    fs.close()


def test_a_private_ca_is_trusted_by_ca_bundle(s3_bucket, proxy_to, authority, tmp_path):
    """`ca_bundle` of the options, and without it no connection."""
    proxy = proxy_to(s3_bucket.endpoint, tls=authority.server)
    trusted = s3_bucket.connection(NAME, endpoint=proxy.url, ca_bundle=str(authority.ca_bundle))
    s3_bucket.put("a", b"1")
    catalog = write_catalog(tmp_path / "c.json", trusted)
    fs = lighterman.get_fs(NAME, catalog=catalog, environ={})
    assert b"1" == fs.cat_file("a")
    fs.close()
    untrusted = write_catalog(tmp_path / "d.json", s3_bucket.connection(NAME, endpoint=proxy.url))
    fs = lighterman.get_fs(
        NAME, catalog=untrusted, environ={"AWS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt"}
    )
    fs.fs.retries = 1
    with pytest.raises(OSError, match=r"(?i)certificate|ssl"):
        fs.cat_file("a")
    fs.close()


def test_options_of_uploads_are_kept(s3_bucket, tmp_path):
    """Storage class and `s3_additional_kwargs` hold for files that are written through it."""
    catalog = tmp_path / "c.yaml"
    catalog.write_text(
        f"[{{name: p, kind: s3, schema: {{bucket: 's3://{s3_bucket.name}'}},"
        f" env: {{AWS_ACCESS_KEY_ID: testkey, AWS_SECRET_ACCESS_KEY: testsecret}},"
        f" options: {{endpoint: '{s3_bucket.endpoint}', storage_class: STANDARD_IA,"
        " s3_additional_kwargs: {ServerSideEncryption: AES256}}}]"
    )
    fs = lighterman.get_fs("p", catalog=catalog, environ={})
    fs.pipe_file("a", b"1")
    head = s3_bucket.head("a")
    assert ("STANDARD_IA", "AES256") == (head["StorageClass"], head["ServerSideEncryption"])
    fs.close()


@pytest.mark.parametrize(
    ("missing", "uri"), [("s3fs", "s3://b"), ("fsspec", "file:///x"), ("aiobotocore", "s3://b")]
)
def test_a_missing_extra_is_said_with_its_mend(missing, uri):
    """ConfigurationError: pip install 'lighterman[fsspec]'."""
    program = (
        f"import sys; sys.modules[{missing!r}] = None; import lighterman\n"
        f"try: lighterman.get_fs({uri!r}, environ={{}})\n"
        "except lighterman.LightermanError as error: print(type(error).__name__, error.hint)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "ConfigurationError pip install 'lighterman[fsspec]'\n" == done.stdout


def test_get_fs_of_an_unknown_kind_of_place_is_a_configuration_error(tmp_path):
    """A volume without a mountPath can't be opened."""
    catalog = tmp_path / "c.yaml"
    catalog.write_text("[{name: v, kind: host_path, schema: {hostPath: /x, mountPath: y}}]")
    with pytest.raises(ConfigurationError):
        lighterman.get_fs("v", catalog=catalog, environ={})
