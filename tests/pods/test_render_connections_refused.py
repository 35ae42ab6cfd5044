"""Which connections ``render`` refuses: secrets that collide, credentials in clear, mounts in the job's way."""

import pytest
from rendering import ABSENT, CONNECTIONS, ENTRY, LOGIN, OUT


def plain(name, secret=None, **more):
    """A connection of kind s3 with a secret."""
    entry = {"name": name, "kind": "s3", "schema": {"bucket": name}, **more}
    return entry | ({"secret": secret} if secret else {})


S3 = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
COLLIDING = {
    "both whole in the environment": (
        [plain("data", {"name": "one"}), plain("runs", {"name": "other"})],
        {},
        "the secret other of connection 'runs' and the secret one of 'data' have keys that are the same variables",
    ),
    "one variable of both": (
        [
            plain("data", {"name": "one", "items": S3}),
            plain("runs", {"name": "other", "items": S3}),
        ],
        {},
        "are both the variable AWS_ACCESS_KEY_ID in the check container",
    ),
    "one directory of both": (
        [
            plain("data", {"name": "one", "mountPath": "/etc/s"}),
            plain("runs", {"name": "other", "mountPath": "/etc/s"}),
        ],
        {},
        "are both mounted at /etc/s in the check container",
    ),
    "one secret's other files": (
        [
            plain("data", {"name": "one", "mountPath": "/etc/s", "items": ["a"]}),
            plain("runs", {"name": "one", "mountPath": "/etc/s/", "items": ["b"]}),
        ],
        {},
        "say different files or modes for /etc/s in the check container",
    ),
    "one directory of a secret and its config map": (
        [
            plain(
                "data",
                {"name": "one", "mountPath": "/s"},
                configMap={"name": "c", "mountPath": "/s/c"},
            ),
            plain("runs"),
        ],
        {},
        "are both mounted at /s in the check container",
    ),
    "main's two buckets": (
        [
            plain("data", {"name": "one", "mountPath": "/a"}),
            plain("runs", {"name": "other", "mountPath": "/b"}),
        ],
        {"connections": ["data", "runs"]},
        "the connections 'data' and 'runs' both set AWS_ACCESS_KEY_ID in the main container",
    ),
    "main's two regions": (
        [
            plain("data", LOGIN, options={"region": "eu-west-1"}),
            plain("runs", LOGIN, options={"region": "us-east-1"}),
        ],
        {"connections": ["data", "runs"]},
        "the connections 'data' and 'runs' both set AWS_REGION in the main container",
    ),
}


@pytest.mark.parametrize(("catalog", "members", "said"), COLLIDING.values(), ids=COLLIDING)
def test_secrets_that_collide_in_one_environment_are_refused_by_name(
    render, catalog, members, said
):
    """Secrets of two connections that collide in one environment: refused by name with their mend."""
    rendered = render(catalog=catalog, **members)
    assert (78, "") == (rendered.code, rendered.text), rendered.log
    assert said in rendered.failure["error"]
    assert rendered.failure["hint"]


CLAIM = {
    "name": "data",
    "kind": "volume_claim",
    "schema": {"volumeClaim": "c", "mountPath": "/mnt"},
}
MISPLACED = {
    "a secret where init brings": (
        plain("data", {"name": "k", "mountPath": "/data"}),
        {},
        "the secret k of connection 'data', mounted at /data, and run.init[0].path, /data,",
    ),
    "a secret that would be sent": (
        plain("data", {"name": "k", "mountPath": "/outputs/.aws"}),
        {},
        "the secret k of connection 'data', mounted at /outputs/.aws, and run.outputs.path, /outputs,",
    ),
    "a config map where the catalog is": (
        plain("data", configMap={"name": "k", "mountPath": "/etc/lighterman"}),
        {},
        "the config map k of connection 'data', mounted at /etc/lighterman, and Lighterman's own",
    ),
    "a claim that main doesn't share": (
        CLAIM,
        {"init": [ENTRY | {"path": "/mnt/x"}]},
        "the volume of connection 'data', mounted at /mnt, and run.init[0].path, /mnt/x,",
    ),
    "a claim that can't be written": (
        CLAIM | {"schema": CLAIM["schema"] | {"readOnly": True}},
        {"init": [ENTRY | {"path": "/mnt/x"}], "connections": ["data"]},
        "the volume of connection 'data', mounted at /mnt, and run.init[0].path, /mnt/x,",
    ),
    "a secret in a claim": (
        CLAIM | {"secret": {"name": "k", "mountPath": "/mnt/k"}},
        {},
        "the volume of connection 'data', mounted at /mnt, and the secret k of connection 'data'",
    ),
    "two claims at one place": (
        CLAIM,
        {"outputs": OUT | {"connection": "more"}},
        "the volume of connection 'more', mounted at /mnt, and the volume of connection 'data' at /mnt",
    ),
}


@pytest.mark.parametrize(("connection", "members", "said"), MISPLACED.values(), ids=MISPLACED)
def test_what_a_connection_mounts_lies_apart_from_the_jobs_paths(render, connection, members, said):
    """A secret in the outputs would be sent to the bucket, one where init brings would be hidden: refused by name."""
    more = CLAIM | {"name": "more", "schema": {"volumeClaim": "other", "mountPath": "/mnt"}}
    rendered = render(catalog=[connection, CONNECTIONS[1], more], **members)
    assert (78, "") == (rendered.code, rendered.text), rendered.log
    assert said in rendered.failure["error"]
    assert "mountPath of its own in the catalog" in rendered.failure["hint"]


CLEAR = {
    "in env": {"env": {"AWS_SECRET_ACCESS_KEY": "not-to-be-seen"}},
    "in client_kwargs": {"options": {"client_kwargs": {"aws_secret_access_key": "not-to-be-seen"}}},
    "in a proxy": {"options": {"proxy": "http://me:not-to-be-seen@proxy:1"}},
    "in a proxy's variable": {"env": {"HTTPS_PROXY": "http://me:not-to-be-seen@proxy:1"}},
    "deep in config_kwargs": {
        "options": {"config_kwargs": {"proxies": {"https": "http://me:not-to-be-seen@proxy:1"}}}
    },
}


@pytest.mark.parametrize("members", CLEAR.values(), ids=CLEAR)
def test_a_credential_in_clear_never_gets_into_a_manifest(render, members):
    """A catalog becomes a ConfigMap: a credential in it is refused by its name, and its value never shown."""
    rendered = render(catalog=[plain("data", **members), CONNECTIONS[1]])
    assert (78, "") == (rendered.code, rendered.text)
    assert "a credential in clear" in rendered.failure["error"]
    assert "secret: {name: …}" in rendered.failure["hint"]
    assert "not-to-be-seen" not in rendered.log


UNNAMED = {
    "a secret's name": ({"secret": {"name": "My_Secret"}}, "'My_Secret' is no name of a secret"),
    "no name at all": ({"configMap": {"name": ""}}, "'' is no name of a config map"),
    "a key's name": (
        {"secret": {"name": "k", "items": ["../key"]}},
        "'../key' is no key of a secret",
    ),
    "a mode": (
        {"secret": {"name": "k", "mountPath": "/k", "defaultMode": 0o4000}},
        "the defaultMode of the secret k is no file's mode",
    ),
    "a claim's name": (
        {"kind": "volume_claim", "schema": {"volumeClaim": "C", "mountPath": "/mnt"}},
        "'C' is no name of a volume claim",
    ),
}


@pytest.mark.parametrize(("members", "said"), UNNAMED.values(), ids=UNNAMED)
def test_what_no_cluster_has_is_refused_by_name(render, members, said):
    """A name or mode of the catalog that Kubernetes takes nowhere: no pod would start with it."""
    rendered = render(catalog=[plain("data") | members, CONNECTIONS[1]])
    assert (78, "") == (rendered.code, rendered.text), rendered.log
    assert f"connections.json: [0]: {said}" in rendered.failure["error"]
    assert rendered.failure["hint"]


def test_a_signature_in_a_uri_never_gets_into_a_manifest(render):
    """As with a credential of the catalog."""
    uri = "https://acc.blob.core.windows.net/c/p?sv=1&sig=not-to-be-seen"
    rendered = render(init=[ENTRY | {"connection": uri}])
    assert (78, "") == (rendered.code, rendered.text)
    assert "a credential in clear (env AZURE_STORAGE_SAS_TOKEN)" in rendered.failure["error"]
    assert "not-to-be-seen" not in rendered.log


def test_a_key_that_no_library_of_mains_would_find_is_refused(render):
    """Google's libraries take a key from a file whose name must be known."""
    google = {"name": "g", "kind": "gcs", "schema": {"bucket": "gs://b"}, "secret": {"name": "k"}}
    rendered = render(catalog=[*CONNECTIONS, google], connections=["g"])
    assert (78, "") == (rendered.code, rendered.text)
    assert "no library of the main container would find the key" in rendered.failure["error"]
    assert "items: [key.json]" in rendered.failure["hint"]


def test_two_names_of_one_bucket_are_one_place(render):
    """Outputs by two connections that lead to the same prefix would go over each other."""
    catalog = [
        plain("data") | {"schema": {"bucket": "s3://b/runs"}},
        plain("runs") | {"schema": {"bucket": "b"}},
    ]
    outputs = [OUT | {"to": "runs/{pod}"}, {"connection": "data", "path": "/more", "to": "{pod}"}]
    rendered = render(catalog=catalog, init=ABSENT, outputs=outputs)
    assert (78, "") == (rendered.code, rendered.text)
    assert "two outputs go to the same place" in rendered.failure["error"]


def test_outputs_to_a_volume_that_is_read_only_are_refused(render):
    """The sidecar couldn't write there."""
    schema = {"volumeClaim": "claim", "mountPath": "/mnt", "readOnly": True}
    volume = {"name": "runs", "kind": "volume_claim", "schema": schema}
    rendered = render(catalog=[CONNECTIONS[0], volume])
    assert (78, "") == (rendered.code, rendered.text)
    assert "run.outputs.connection: runs is read-only" in rendered.failure["error"]


def test_a_file_uri_must_lie_on_a_volume(render):
    """A path of a container that no volume has is empty there, and gone with it."""
    rendered = render(init=[ENTRY | {"connection": "file:///srv/data"}])
    assert (78, "") == (rendered.code, rendered.text)
    assert "file:///srv/data is on no volume of the pod" in rendered.failure["error"]
