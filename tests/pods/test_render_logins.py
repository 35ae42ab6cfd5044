"""How the containers of a rendered pod come to the logins of their connections."""

import pytest
import yaml
from program import Program
from rendering import ABSENT, CONNECTIONS, mounts, variables

RUNS = CONNECTIONS[1]
KEYS = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]


def data(**members):
    """The connection that init reads, with other members."""
    return {"name": "data", "kind": "s3", "schema": {"bucket": "s3://data"}} | members


def reference(name, key, **more):
    return {"secretKeyRef": {"name": name, "key": key, **more}}


def test_a_secret_with_a_mount_path_is_mounted(render):
    """As the connection says: where, which items, which mode; read-only, for init and check."""
    secret = {"name": "keys", "mountPath": "/etc/k", "items": KEYS, "defaultMode": 0o440}
    rendered = render(catalog=[data(secret=secret), RUNS])
    for name in ("check", "init"):
        (mount,) = [
            one for one in rendered.containers[name]["volumeMounts"] if one["mountPath"] == "/etc/k"
        ]
        assert mount["readOnly"] is True
        source = rendered.volumes[mount["name"]]["secret"]
        assert ("keys", 0o440) == (source["secretName"], source["defaultMode"])
        assert [{"key": key, "path": key} for key in KEYS] == source["items"]
    assert "/etc/k" not in mounts(rendered.containers["sidecar"])


def test_a_secret_without_a_mount_path_is_taken_whole(render):
    """`envFrom`: each key is a variable."""
    init = render(catalog=[data(secret={"name": "keys"}), RUNS]).containers["init"]
    assert [{"secretRef": {"name": "keys"}}] == init["envFrom"]


def test_a_secret_with_items_alone_is_taken_key_by_key(render):
    """`secretKeyRef`: what is listed, and no more."""
    rendered = render(catalog=[data(secret={"name": "keys", "items": KEYS}), RUNS])
    init = rendered.containers["init"]
    assert {key: reference("keys", key) for key in KEYS} == variables(init)
    assert "envFrom" not in init


def test_a_config_map_is_taken_as_a_secret_is(render):
    """Mounted, whole, or key by key."""
    for config_map, source in (
        ({"name": "c"}, {"envFrom": [{"configMapRef": {"name": "c"}}]}),
        (
            {"name": "c", "items": ["AWS_REGION"]},
            {
                "env": [
                    {
                        "name": "AWS_REGION",
                        "valueFrom": {"configMapKeyRef": {"name": "c", "key": "AWS_REGION"}},
                    }
                ]
            },
        ),
    ):
        init = render(catalog=[data(configMap=config_map), RUNS]).containers["init"]
        assert source.items() <= init.items()
    rendered = render(catalog=[data(configMap={"name": "c", "mountPath": "/etc/c"}), RUNS])
    volume = mounts(rendered.containers["init"])["/etc/c"]
    assert {"name": "c"} == rendered.volumes[volume]["configMap"]


def test_one_secret_of_two_connections_is_one_volume(render):
    """What is shared stands once."""
    rendered = render()
    assert 1 == sum("secret" in volume for volume in rendered.volumes.values())


def test_main_has_no_login_that_it_doesnt_name(render):
    """Only `run.connections` are main's: what init and sidecar log in with isn't in its container."""
    main = render().containers["main"]
    assert ({"/data", "/outputs"}, {}) == (set(mounts(main)), variables(main))


def test_main_gets_what_boto3_and_tensorflow_read(render):
    """Settings as they are, credentials as references to the keys of the secret."""
    connection = data(
        secret={"name": "keys", "mountPath": "/etc/k"},
        options={"endpoint": "http://minio:9000", "region": "eu-west-1"},
    )
    main = render(catalog=[connection, RUNS], connections=["data"]).containers["main"]
    found = variables(main)
    assert "/etc/k" in mounts(main)
    assert {
        "AWS_ENDPOINT_URL": "http://minio:9000",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "S3_ENDPOINT": "minio:9000",
        "S3_USE_HTTPS": "0",
        "AWS_ACCESS_KEY_ID": reference("keys", "AWS_ACCESS_KEY_ID", optional=True),
        "AWS_SECRET_ACCESS_KEY": reference("keys", "AWS_SECRET_ACCESS_KEY", optional=True),
        "AWS_SESSION_TOKEN": reference("keys", "AWS_SESSION_TOKEN", optional=True),
    }.items() <= found.items()


def test_main_gets_what_env_prints(render, tmp_path):
    """Of an S3 connection the very settings of `lighterman env`, with the keys of the secret in place of values."""
    options = {"endpoint": "https://s3.local:9000", "region": "r1", "checksums": "when_required"}
    connection = data(secret={"name": "keys", "items": KEYS}, options=options)
    found = variables(render(catalog=[connection, RUNS], connections=["data"]).containers["main"])
    program = Program(
        tmp_path,
        {
            "LIGHTERMAN_CATALOG": str(tmp_path / "connections.json"),
            "AWS_ACCESS_KEY_ID": "id-of-nobody",
            "AWS_SECRET_ACCESS_KEY": "key-of-nobody",
        },
    )
    printed = program.run("env", "data", "--format", "dotenv").stdout
    plain = dict(line.split("=", 1) for line in printed.splitlines() if not line.startswith("#"))
    assert plain == {name: value for name, value in found.items() if isinstance(value, str)}
    assert {key: reference("keys", key) for key in KEYS} == {key: found[key] for key in KEYS}


def test_main_gets_what_googles_libraries_read(render):
    """The key's file where it is mounted, and the project."""
    connection = {
        "name": "data",
        "kind": "gcs",
        "schema": {"bucket": "gs://data"},
        "secret": {"name": "sa", "mountPath": "/etc/gcs", "items": ["key.json"]},
        "env": {"GOOGLE_CLOUD_PROJECT": "p1"},
    }
    main = render(catalog=[connection, RUNS], connections=["data"]).containers["main"]
    found = variables(main)
    assert "/etc/gcs/key.json" == found["GOOGLE_APPLICATION_CREDENTIALS"]
    assert "p1" == found["GOOGLE_CLOUD_PROJECT"]
    assert "/etc/gcs" in mounts(main)


def test_main_gets_what_azures_libraries_read(render):
    """The account from the place, the key by each name that a library asks for."""
    connection = {
        "name": "data",
        "kind": "wasb",
        "schema": {"bucket": "wasbs://c@acc.blob.core.windows.net/p"},
        "secret": {"name": "az", "items": ["AZURE_ACCOUNT_KEY"]},
    }
    found = variables(render(catalog=[connection, RUNS], connections=["data"]).containers["main"])
    assert ("acc", "acc") == (found["AZURE_STORAGE_ACCOUNT"], found["AZURE_STORAGE_ACCOUNT_NAME"])
    for name in ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "TF_AZURE_STORAGE_KEY"):
        assert reference("az", "AZURE_ACCOUNT_KEY") == found[name]


def test_a_document_of_keys_is_no_variable_of_mains(render):
    """One JSON file with the keys: main has the file, and what no library of its own would find is said."""
    secret = {"name": "keys", "mountPath": "/etc/k", "items": ["keys.json"]}
    rendered = render(catalog=[data(secret=secret), RUNS], connections=["data"])
    main = rendered.containers["main"]
    assert "keys.json" not in variables(main)
    assert "/etc/k" in mounts(main)
    assert any("no library of main's reads keys.json by itself" in note for note in rendered.notes)


def test_mains_own_variables_win(render):
    """What the user wrote in the container stands as it was written, once."""
    env = [{"name": "AWS_REGION", "value": "mine"}]
    connection = data(options={"region": "theirs"})
    rendered = render(catalog=[connection, RUNS], connections=["data"], main={"env": env})
    main = rendered.containers["main"]
    assert 1 == sum(one["name"] == "AWS_REGION" for one in main["env"])
    assert "mine" == variables(main)["AWS_REGION"]


def test_a_value_is_no_reference_to_another_variable(render):
    """`$(NAME)` in a setting means itself: Kubernetes would expand it."""
    connection = data(env={"AWS_PROFILE": "a$(HOME)b"})
    main = render(catalog=[connection, RUNS], connections=["data"]).containers["main"]
    assert "a$$(HOME)b" == variables(main)["AWS_PROFILE"]


def test_a_login_that_may_be_taken_for_anothers_is_said(render):
    """A connection without a secret beside one whose secret is in the environment."""
    rendered = render(catalog=[data(secret={"name": "keys"}), {**RUNS, "secret": None}])
    assert any(
        "'runs' has no secret of its own, and finds that of 'data'" in note
        for note in rendered.notes
    )


@pytest.mark.parametrize("uri", ["s3://bucket/prefix", "gs://bucket/prefix"])
def test_uris_need_no_catalog(render, uri):
    """Where a connection's name is taken, a URI is taken too, with what the pod's identity may."""
    rendered = render(catalog=[], init=[{"connection": uri, "path": "/data"}], outputs=ABSENT)
    assert {"connections": []} == yaml.safe_load(rendered.config_map["data"]["connections.yaml"])
    assert uri in rendered.config_map["data"]["job.yaml"]
