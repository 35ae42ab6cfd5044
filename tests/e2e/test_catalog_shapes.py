"""
Every shape in which users of Polyaxon and ZenML have their catalogs and secrets logs in and lists, with the
real program at a server that checks the login; a wrong login in the same shape is refused.
"""

import json
from urllib.parse import quote

import pytest
from catalog_clouds import azure_cloud, gcs_cloud, s3_cloud
from mounted_secret import MountedSecret
from program import Program

CONTENT = {"train/a.txt": b"a", "train/b.txt": b"bb"}


@pytest.fixture
def gcs_place(gcs_bucket, proxy_to, authority):
    """A bucket of GCS, also at Google's own address, as the proxy has it."""
    return gcs_cloud(
        gcs_bucket, proxy_to(gcs_bucket.endpoint, connect_tls=authority.server), authority
    )


@pytest.fixture
def cloud_of(request):
    """Makes a bucket of one cloud with a little in it."""

    def make(kind):
        made = {
            "s3": lambda: s3_cloud(request.getfixturevalue("account")),
            "gcs": lambda: request.getfixturevalue("gcs_place"),
            "wasb": lambda: azure_cloud(request.getfixturevalue("azure_container")),
        }[kind]()
        for key, body in CONTENT.items():
            made.put(key, body)
        return made

    return make


@pytest.fixture(params=["s3", "gcs", "wasb"])
def cloud(request, cloud_of):
    """A bucket of each cloud with a little in it."""
    return cloud_of(request.param)


@pytest.fixture
def wrong_cloud(cloud):
    """The same with a login of the right form that is nobody's."""
    return cloud.refused()


@pytest.fixture
def secret(tmp_path):
    """A secret as the kubelet mounts it."""
    return MountedSecret(tmp_path / "secret")


@pytest.fixture
def pulled(tmp_path):
    """Runs init of a connection of the catalog; gives the ended process and what it placed."""

    def pull(catalog, environ=None, name="data", variable="LIGHTERMAN_CATALOG"):
        document = json.dumps(catalog)
        program = Program(tmp_path, {variable: document, **(environ or {})})
        destination = tmp_path / f"pulled-{quote(name, safe='')}"
        ended = program.run("init", "--connection", name, "--to", destination)
        placed = {
            str(path.relative_to(destination)): path.read_bytes()
            for path in destination.rglob("*")
            if path.is_file() and ".lighterman" not in path.parts
        }
        return ended, placed

    return pull


def entry(cloud, secret, name="data"):
    return {
        "name": name,
        "kind": cloud.kind,
        "schema": {"bucket": cloud.uri},
        "secret": {"name": "the-secret", "mountPath": str(secret.root)},
        "options": cloud.options,
    }


def legacy(cloud, **fields):
    place = {"store": cloud.legacy_store, "bucket": cloud.uri, "secret": "the-secret", **fields}
    return {"persistence": {"data": {"data": place}}}


def flags(cloud, **more):
    return {"name": "data", "flavor": cloud.flavor, "path": cloud.uri, **more}


# Each shape puts what it mounts into the secret, and gives the catalog and the environment beside it.


def literal_keys(cloud, secret):
    secret.put(cloud.literal_keys)
    return [entry(cloud, secret)], {}


def json_file(cloud, secret):
    secret.put(cloud.json_file)
    return [entry(cloud, secret)], {}


def legacy_persistence(cloud, _):
    return legacy(cloud), {**cloud.literal_keys, **cloud.ambient}


def legacy_secret_key(cloud, _):
    [(key, document)] = cloud.json_file.items()
    return legacy(cloud, secretKey=key), {key: document, **cloud.ambient}


def two_datasets(cloud, secret):
    secret.put(cloud.literal_keys)
    part = entry(cloud, secret, "part")
    part["schema"] = {"bucket": f"{cloud.uri.rstrip('/')}/train"}
    return [entry(cloud, secret), part], {}


def register_flags(cloud, _):
    return [flags(cloud, **cloud.register_flags)], {}


def register_flags_as_json(cloud, _):
    given = {
        name: json.dumps(value) if isinstance(value, dict) else value
        for name, value in cloud.register_flags.items()
    }
    return [flags(cloud, **given)], {}


def authentication_secret(cloud, _):
    lower = {name.lower(): value for name, value in cloud.literal_keys.items()}
    environ = lower if cloud.kind == "s3" else cloud.literal_keys
    catalog = [flags(cloud, authentication_secret="the-secret")]
    return catalog, {**environ, **cloud.ambient}


SHAPES = (
    literal_keys,
    json_file,
    legacy_persistence,
    legacy_secret_key,
    two_datasets,
    authentication_secret,
)
ONLY_S3 = (register_flags, register_flags_as_json)
"""ZenML's other flavors have no flags that hold a login."""


def check(ended, placed):
    assert (0, CONTENT) == (ended.code, placed), ended.stderr[-2000:]


def test_a_secret_of_literal_keys(cloud, secret, pulled):
    """``kubectl create secret generic … --from-literal=KEY=VALUE``: a file for each key."""
    check(*pulled(*literal_keys(cloud, secret)))


def test_a_secret_of_literal_keys_with_newlines(cloud, secret, pulled):
    """``--from-file`` of what an editor wrote: a trailing newline is stripped."""
    secret.put({name: f"{value}\n" for name, value in cloud.literal_keys.items()})

    check(*pulled([entry(cloud, secret)]))


def test_a_secret_of_one_json_file(cloud, secret, pulled):
    """``--from-file=NAME``: one JSON file, of any name, holds the login."""
    check(*pulled(*json_file(cloud, secret)))


def test_a_secret_with_items(cloud, secret, pulled):
    """``items``: only the named files of the mount are the login."""
    secret.put({**cloud.json_file, "AWS_ACCESS_KEY_ID": "stray", "AZURE_ACCOUNT_KEY": "c3RyYXk="})
    described = entry(cloud, secret)
    described["secret"]["items"] = list(cloud.json_file)

    check(*pulled([described]))


def test_polyaxons_catalog_of_the_environment(cloud, secret, pulled):
    """``$POLYAXON_CONNECTIONS_CATALOG``, a JSON list: the image works under Polyaxon as it is."""
    secret.put(cloud.literal_keys)
    git = {"name": "repo", "kind": "git", "schema": {"url": "https://example.org/repo"}}

    check(*pulled([git, entry(cloud, secret)], variable="POLYAXON_CONNECTIONS_CATALOG"))


def test_legacy_persistence(cloud, secret, pulled):
    """``persistence: {data: {NAME: {store, bucket, secret}}}``: Polyaxon puts the secret's keys into the environment."""
    check(*pulled(*legacy_persistence(cloud, secret)))


def test_legacy_persistence_with_a_secret_key(cloud, secret, pulled):
    """``secretKey``: of the secret the pod has that key, a variable whose value is the document of the login."""
    check(*pulled(*legacy_secret_key(cloud, secret)))


@pytest.mark.parametrize(
    "command",
    [
        ("check", "data", "--write"),
        ("env", "data"),
        ("sync", "--connection", "data", "--path", "outputs"),
    ],
    ids=lambda command: command[0],
)
def test_a_secret_key_is_a_login_of_every_command(cloud, secret, tmp_path, command):
    """The same login, and nothing of it is said."""
    catalog, environ = legacy_secret_key(cloud, secret)
    (tmp_path / "outputs").mkdir()
    hidden = [value for name, value in cloud.literal_keys.items() if "KEY" in name]

    ended = Program(tmp_path, {"LIGHTERMAN_CATALOG": json.dumps(catalog), **environ}, hidden).run(
        *command
    )

    assert 0 == ended.code, ended.stderr[-2000:]


def test_a_secret_key_that_is_not_in_the_environment_is_told_with_the_refusal(wrong_cloud, pulled):
    """77: another login was found and refused; the hint names the secret, and the variable that lacks."""
    [key] = wrong_cloud.json_file
    environ = {**wrong_cloud.literal_keys, **wrong_cloud.ambient}

    ended, placed = pulled(legacy(wrong_cloud, secretKey=key), environ=environ)

    assert (77, {}) == (ended.code, placed)
    said = f"the secret the-secret has no mountPath, and ${key} isn't in the environment"
    assert said in ended.report["error"]["hint"]


def test_a_secret_that_is_not_mounted_is_told_with_the_refusal(
    wrong_cloud, secret, pulled, tmp_path
):
    """77: the hint of another login's refusal names where the connection's own was meant to be."""
    described = entry(wrong_cloud, secret)
    described["secret"]["mountPath"] = f"{tmp_path}/not-mounted"

    ended, placed = pulled([described], environ={**wrong_cloud.literal_keys, **wrong_cloud.ambient})

    assert (77, {}) == (ended.code, placed)
    assert f"no login was found in {tmp_path}/not-mounted" in ended.report["error"]["hint"]


def test_a_secret_key_that_is_cut_short_is_told_by_its_variable(cloud, pulled):
    """77, in one line, and nothing of its content."""
    [(key, document)] = cloud.json_file.items()

    ended, placed = pulled(
        legacy(cloud, secretKey=key), environ={key: document[:-30], **cloud.ambient}
    )

    assert (77, {}) == (ended.code, placed)
    assert f"${key}:" in ended.report["error"]["message"]
    assert document[20:60] not in ended.stderr


@pytest.mark.parametrize("outputs", ["data", "a single place"])
def test_legacy_outputs(cloud, pulled, outputs):
    """``persistence: {outputs: …}``, of names or a single one."""
    place = {"store": cloud.legacy_store, "bucket": cloud.uri, "secret": "the-secret"}
    given = {"data": place} if outputs == "data" else place
    name = "data" if outputs == "data" else "outputs"
    environ = {**cloud.literal_keys, **cloud.ambient}

    check(*pulled({"persistence": {"outputs": given}}, environ, name))


def test_two_datasets_with_one_secret(cloud, secret, pulled):
    """Two connections name the same secret; each is its own place."""
    catalog, environ = two_datasets(cloud, secret)

    check(*pulled(catalog, environ))
    ended, placed = pulled(catalog, environ, "part")

    assert (0, {"a.txt": b"a", "b.txt": b"bb"}) == (ended.code, placed)


def test_zenmls_register_flags(cloud, secret, pulled):
    """``zenml artifact-store register NAME --flavor=… --path=…`` and its flags, as a mapping."""
    catalog, environ = register_flags(cloud, secret)
    if not cloud.register_flags:
        environ = {**cloud.literal_keys, **cloud.ambient}

    check(*pulled(catalog, environ))


def test_zenmls_register_flags_as_json_strings(cloud_of, secret, pulled):
    """The three kwargs as ZenML's command line has them: JSON strings. Only the flavor s3 has them."""
    check(*pulled(*register_flags_as_json(cloud_of("s3"), secret)))


def test_zenmls_authentication_secret(cloud, secret, pulled):
    """``--authentication_secret``: a secret's name, whose keys are in the environment."""
    check(*pulled(*authentication_secret(cloud, secret)))


def test_a_uri_with_the_login_of_the_environment(cloud, pulled):
    """A URI where a name is taken: no catalog is read."""
    environ = {**cloud.literal_keys, **cloud.ambient}

    check(*pulled([], environ, cloud.uri))


def check_refused(ended, placed):
    assert (77, {}) == (ended.code, placed), ended.stderr[-2000:]
    assert "refuse" in ended.report["error"]["message"]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_a_wrong_login_in_any_shape_is_refused(wrong_cloud, secret, pulled, shape):
    """77, by the server that lets the right one in: the login that the shape holds is what was sent."""
    catalog, environ = shape(wrong_cloud, secret)

    check_refused(*pulled(catalog, environ))


@pytest.mark.parametrize("shape", ONLY_S3, ids=lambda shape: shape.__name__)
def test_a_wrong_login_in_zenmls_flags_is_refused(cloud_of, secret, pulled, shape):
    """The same of the flags that hold a login."""
    catalog, environ = shape(cloud_of("s3").refused(), secret)

    check_refused(*pulled(catalog, environ))


def test_a_wrong_login_beside_a_uri_is_refused(wrong_cloud, pulled):
    """The same of a URI."""
    environ = {**wrong_cloud.literal_keys, **wrong_cloud.ambient}

    check_refused(*pulled([], environ, wrong_cloud.uri))
