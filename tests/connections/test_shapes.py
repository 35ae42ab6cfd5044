"""Every shape that a catalog is written in, and every error with its place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lighterman.connections.model import (
    Bucket,
    Connection,
    HostPath,
    Mount,
    Options,
    VolumeClaim,
)
from lighterman.connections.shapes import Foreign, read_catalog
from lighterman.document import parse_document
from lighterman.errors import ConfigurationError
from lighterman.secret import Secret

S3 = {"name": "a", "kind": "s3", "schema": {"bucket": "b"}}
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=10)
names = st.sampled_from(
    [
        "name",
        "kind",
        "schema",
        "secret",
        "configMap",
        "env",
        "options",
        "description",
        "tags",
        "annotations",
        "flavor",
        "path",
        "key",
        "token",
        "bucket",
        "mountPath",
        "hostPath",
        "volumeClaim",
        "readOnly",
        "value",
        "valueFrom",
        "items",
        "client_kwargs",
        "persistence",
        "outputs",
        "data",
        "store",
        "existingClaim",
        "secretKey",
        "connections",
        "authentication_secret",
    ]
)
values = (
    st.none()
    | st.booleans()
    | st.integers()
    | texts
    | st.sampled_from(
        ["s3", "gcs", "azure", "volume_claim", "host_path", "s3://b/p", "/m", "local", "{}"]
    )
)
documents = st.recursive(
    values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | texts, inner, max_size=6),
    max_leaves=25,
)


def one(data: object) -> Connection:
    (connection,) = read_catalog([data], "c.yaml")
    assert isinstance(connection, Connection)
    return connection


CONTRACT = """
connections:
  - name: s3-dataset1
    kind: s3
    schema: {bucket: "s3://bucket/path1"}
    secret: {name: s3-secret, mountPath: /etc/secrets/s3, items: [AWS_ACCESS_KEY_ID], defaultMode: 0400}
    configMap: {name: s3-config}
    env: [{name: AWS_REGION, value: eu-west-1}]
    description: all of it
    tags: [x, y]
    annotations: {a: b}
    options:
      endpoint: http://minio:9000
      region: us-east-1
      addressing_style: path
      anonymous: false
      ca_bundle: /etc/ca/ca.pem
      proxy: http://proxy:3128
      checksums: when_supported
      storage_class: STANDARD_IA
      kms_key: k
      acl: private
      tags: {team: ml}
      requester_pays: true
      client_kwargs: {api_version: "2006-03-01"}
      config_kwargs: '{"max_pool_connections": 5}'
      s3_additional_kwargs: {ServerSideEncryption: AES256}
"""


def test_the_contracts_shape_is_read_whole():
    """Every field of the contract's example arrives in the model."""
    (connection,) = read_catalog(parse_document(CONTRACT, "c"), "c.yaml")
    expected = Connection(
        name="s3-dataset1",
        kind="s3",
        schema=Bucket("s3://bucket/path1"),
        secret=Mount(
            name="s3-secret",
            mount_path="/etc/secrets/s3",
            items=("AWS_ACCESS_KEY_ID",),
            default_mode=0o400,
        ),
        config_map=Mount(name="s3-config"),
        env={"AWS_REGION": "eu-west-1"},
        options=Options(
            endpoint="http://minio:9000",
            region="us-east-1",
            addressing_style="path",
            ca_bundle="/etc/ca/ca.pem",
            proxy="http://proxy:3128",
            checksums="when_supported",
            storage_class="STANDARD_IA",
            kms_key="k",
            acl="private",
            tags={"team": "ml"},
            requester_pays=True,
            client_kwargs={"api_version": "2006-03-01"},
            config_kwargs={"max_pool_connections": 5},
            s3_additional_kwargs={"ServerSideEncryption": "AES256"},
        ),
        description="all of it",
        tags=("x", "y"),
        annotations={"a": "b"},
        origin="c.yaml: connections[0]",
    )
    assert expected == connection


@pytest.mark.parametrize(
    ("data", "kind", "schema"),
    [
        ({"kind": "s3", "schema": {"bucket": "b"}}, "s3", Bucket("b")),
        ({"kind": "gcs", "schema": {"bucket": "gs://b"}}, "gcs", Bucket("gs://b")),
        (
            {"kind": "wasb", "schema": {"bucket": "wasbs://c@account1.blob.core.windows.net/"}},
            "wasb",
            Bucket("wasbs://c@account1.blob.core.windows.net/"),
        ),
        ({"kind": "azure", "schema": {"bucket": "c/p"}}, "wasb", Bucket("c/p")),
        (
            {
                "kind": "volume_claim",
                "schema": {"volumeClaim": "v", "mountPath": "/m", "readOnly": True},
            },
            "volume_claim",
            VolumeClaim(volume_claim="v", mount_path="/m", read_only=True),
        ),
        (
            {"kind": "host_path", "schema": {"hostPath": "/h", "mountPath": "/m"}},
            "host_path",
            HostPath(host_path="/h", mount_path="/m"),
        ),
    ],
)
def test_all_kinds_decode(data, kind, schema):
    """Kinds s3, gcs, wasb (alias azure), volume_claim and host_path all decode."""
    connection = one({"name": "x", **data})
    assert (kind, schema) == (connection.kind, connection.schema)


@pytest.mark.parametrize(
    "env",
    [
        [
            {"name": "AWS_REGION", "value": "r"},
            {"name": "AWS_SECRET_ACCESS_KEY", "value": "hunter22"},
        ],
        {"AWS_REGION": "r", "AWS_SECRET_ACCESS_KEY": "hunter22"},
    ],
    ids=["list", "mapping"],
)
def test_env_is_a_list_or_a_mapping_and_its_credentials_are_masked_at_once(env):
    """A mapping is taken too; values whose names are credentials become Secret at once."""
    connection = one({**S3, "env": env})
    assert {"AWS_REGION": "r", "AWS_SECRET_ACCESS_KEY": Secret("hunter22")} == connection.env


def test_polyaxons_own_catalog_is_read_with_its_nulls():
    """Polyaxon writes the fields that it doesn't use as null, and tags as one text."""
    entry = {
        **S3,
        "secret": {"name": "s", "mountPath": None, "items": None, "defaultMode": None},
        "configMap": None,
        "env": None,
        "annotations": None,
        "description": None,
        "tags": "x, y",
        "options": None,
    }
    connection = one(entry)
    assert Mount(name="s") == connection.secret
    assert (None, {}, {}, ("x", "y"), Options()) == (
        connection.config_map,
        connection.env,
        connection.annotations,
        connection.tags,
        connection.options,
    )


LEGACY = """
persistence:
  data:
    data1: {mountPath: /data/1, hostPath: /path/to/data, readOnly: true}
    data2: {mountPath: /data/2, existingClaim: data-2-pvc}
    data-gcs: {store: gcs, bucket: "gs://data-bucket", secret: secret-name, secretKey: secret-key}
    data-az: {store: azure, bucket: "wasbs://c@account1.blob.core.windows.net/"}
  outputs:
    outputs-s3: {store: s3, bucket: "s3://outputs-bucket", secret: secret-name}
"""


def test_polyaxons_legacy_persistence_is_read_into_the_same_model():
    """Stores and volumes under persistence become connections of their names."""
    found = {entry.name: entry for entry in read_catalog(parse_document(LEGACY, "c"), "c.yaml")}
    schemas = {name: (entry.kind, entry.schema, entry.secret) for name, entry in found.items()}
    assert {
        "data1": (
            "host_path",
            HostPath(host_path="/path/to/data", mount_path="/data/1", read_only=True),
            None,
        ),
        "data2": (
            "volume_claim",
            VolumeClaim(volume_claim="data-2-pvc", mount_path="/data/2"),
            None,
        ),
        "data-gcs": (
            "gcs",
            Bucket("gs://data-bucket"),
            Mount(name="secret-name", items=("secret-key",)),
        ),
        "data-az": ("wasb", Bucket("wasbs://c@account1.blob.core.windows.net/"), None),
        "outputs-s3": ("s3", Bucket("s3://outputs-bucket"), Mount(name="secret-name")),
    } == schemas
    assert found["data-az"].origin == "c.yaml: persistence.data.data-az"


def test_legacy_outputs_may_be_a_single_mapping():
    """persistence.outputs that is itself a place is the connection `outputs`."""
    document = {"persistence": {"outputs": {"mountPath": "/o", "existingClaim": "pvc"}}}
    (connection,) = read_catalog(document, "c.yaml")
    assert ("outputs", VolumeClaim(volume_claim="pvc", mount_path="/o")) == (
        connection.name,
        connection.schema,
    )


@pytest.mark.parametrize(
    "kwargs",
    [
        {
            "client_kwargs": {"endpoint_url": "http://m:9000"},
            "config_kwargs": {"retries": {"max_attempts": 1}},
            "s3_additional_kwargs": {"ACL": "private"},
        },
        {
            "client_kwargs": '{"endpoint_url": "http://m:9000"}',
            "config_kwargs": '{"retries": {"max_attempts": 1}}',
            "s3_additional_kwargs": '{"ACL": "private"}',
        },
    ],
    ids=["mapping", "json"],
)
def test_zenmls_artifact_store_is_read_with_its_login_masked(kwargs):
    """ZenML's flavor, path, login and its three kwargs, as mapping or JSON string."""
    connection = one(
        {
            "name": "z",
            "flavor": "s3",
            "path": "s3://b/p",
            "key": "AKIA1234",
            "secret": "hunter22",
            "token": "tokentok",
            **kwargs,
        }
    )
    assert ("s3", Bucket("s3://b/p")) == (connection.kind, connection.schema)
    assert {
        "AWS_ACCESS_KEY_ID": Secret("AKIA1234"),
        "AWS_SECRET_ACCESS_KEY": Secret("hunter22"),
        "AWS_SESSION_TOKEN": Secret("tokentok"),
    } == connection.env
    assert (
        Options(
            client_kwargs={"endpoint_url": "http://m:9000"},
            config_kwargs={"retries": {"max_attempts": 1}},
            s3_additional_kwargs={"ACL": "private"},
        )
        == connection.options
    )


@pytest.mark.parametrize(
    ("data", "kind", "schema"),
    [
        ({"flavor": "gcp", "path": "gs://b"}, "gcs", Bucket("gs://b")),
        ({"flavor": "azure", "path": "az://c/p"}, "wasb", Bucket("az://c/p")),
        ({"flavor": "local", "path": "/x"}, "host_path", HostPath(host_path="/x", mount_path="/x")),
        (
            {"flavor": "local", "path": "file:///x"},
            "host_path",
            HostPath(host_path="/x", mount_path="/x"),
        ),
    ],
)
def test_zenmls_other_flavors_are_kinds(data, kind, schema):
    """gcp, azure and local are gcs, wasb and host_path; an authentication_secret is the secret's name."""
    connection = one({"name": "z", "authentication_secret": "s", **data})
    assert (kind, schema, Mount(name="s")) == (
        connection.kind,
        connection.schema,
        connection.secret,
    )


@pytest.mark.parametrize(
    ("document", "said", "hint"),
    [
        (None, "no catalog: it is empty", "write connections: [...]"),
        ({}, "no catalog: it is empty", "write connections: [...]"),
        ("x", "no catalog: neither list nor mapping", "write connections: [...]"),
        ({"conections": []}, "conections: unknown field", "did you mean connections?"),
        ({"zzz": []}, "zzz: unknown field", "valid fields: connections, persistence"),
        (
            {"connections": {"a": 1}},
            "connections: expected a list, got a mapping",
            "write it as a list: [...]",
        ),
        (
            {"connections": None},
            "connections: expected a list, got nothing",
            "give it a value, or take it out",
        ),
        (["x"], "[0]: expected a mapping, got text", "write it as a mapping: {name: value}"),
        (
            {"connections": [S3, {**S3, "options": {"endpont": "x"}}]},
            "connections[1].options.endpont: unknown field",
            "did you mean endpoint?",
        ),
        ([{**S3, "option": {}}], "[0].option: unknown field", "did you mean options?"),
        ([{**S3, "config_map": {}}], "[0].config_map: unknown field", "did you mean configMap?"),
        (
            [{**S3, "secret": {"name": "s", "mount_path": "/x"}}],
            "[0].secret.mount_path: unknown field",
            "did you mean mountPath?",
        ),
        (
            [{**S3, "secret": {"mountPath": "/x"}}],
            "[0].secret.name: missing",
            "it is required there",
        ),
        (
            [{**S3, "secret": {"name": "s", "mountPath": "x"}}],
            "[0].secret.mountPath: no absolute path",
            "it begins with a slash",
        ),
        (
            [{**S3, "configMap": {"name": "s", "mountPath": ""}}],
            "[0].configMap.mountPath: no absolute path",
            "it begins with a slash",
        ),
        (
            [{**S3, "kind": "s33"}],
            "[0].kind: not one of azure, gcs, host_path, s3, volume_claim, wasb",
            "did you mean s3?",
        ),
        (
            [{**S3, "kind": "git"}],
            "[0].kind: not one of azure, gcs, host_path, s3, volume_claim, wasb",
            "valid values: azure, gcs, host_path, s3, volume_claim, wasb",
        ),
        ([{"name": "a", "kind": "s3"}], "[0].schema: missing", "it is required there"),
        (
            [{**S3, "schema": {"bukket": "b"}}],
            "[0].schema.bukket: unknown field",
            "did you mean bucket?",
        ),
        (
            [{**S3, "schema": {"bucket": "gs://b"}}],
            "[0].schema.bucket: gs://b is no place of kind s3",
            "write s3://BUCKET/PREFIX, or change the kind to gcs",
        ),
        (
            [
                {
                    "name": "a",
                    "kind": "volume_claim",
                    "schema": {"hostPath": "/x", "mountPath": "/m"},
                }
            ],
            "[0].schema.hostPath: unknown field",
            "did you mean mountPath?",
        ),
        (
            [
                {
                    "name": "a",
                    "kind": "volume_claim",
                    "schema": {"volumeClaim": "v", "mountPath": "m"},
                }
            ],
            "[0].schema.mountPath: no absolute path",
            "it begins with a slash",
        ),
        (
            [{"name": "a", "kind": "host_path", "schema": {"hostPath": "h", "mountPath": "/m"}}],
            "[0].schema.hostPath: no absolute path",
            "it begins with a slash",
        ),
        (
            [{"name": "a", "kind": "host_path", "schema": {"hostPath": "/h", "mountPath": "m"}}],
            "[0].schema.mountPath: no absolute path",
            "it begins with a slash",
        ),
        (
            [{**S3, "name": "a/b"}],
            "[0].name: no name of a connection",
            "letters, digits, dashes, dots; no slash, and no URI",
        ),
        (
            [{**S3, "name": ".."}],
            "[0].name: no name of a connection",
            "letters, digits, dashes, dots; no slash, and no URI",
        ),
        (
            [{**S3, "name": " "}],
            "[0].name: no name of a connection",
            "letters, digits, dashes, dots; no slash, and no URI",
        ),
        (
            [{**S3, "env": [{"name": "A", "value": 1}]}],
            "[0].env[0].value: expected text, got a whole number",
            "quote it",
        ),
        ([{**S3, "env": {"A": 1}}], "[0].env.A: expected text, got a whole number", "quote it"),
        (
            [{**S3, "env": [{"name": "A", "vale": "x"}]}],
            "[0].env[0].vale: unknown field",
            "did you mean value?",
        ),
        (
            [{**S3, "env": [{"name": "A"}, {"name": "A"}]}],
            "[0].env[1].name: A is set twice",
            "keep one of them",
        ),
        (
            [{**S3, "env": [{"name": "A", "valueFrom": {"x": "y"}}]}],
            "[0].env[0].valueFrom: only a kubelet can resolve it",
            "set it in the pod's container: the process environment is read too",
        ),
        (
            [{**S3, "options": []}],
            "[0].options: expected a mapping, got a list",
            "write it as a mapping: {name: value}",
        ),
        (
            [{**S3, "options": {"checksums": "always"}}],
            "[0].options.checksums: not one of when_required, when_supported",
            "valid values: when_required, when_supported",
        ),
        (
            [{**S3, "options": {"tags": {"a": True}}}],
            "[0].options.tags.a: expected text, got true or false",
            "quote it",
        ),
        (
            [{**S3, "options": {"config_kwargs": "[1]"}}],
            "[0].options.config_kwargs: the JSON in it is no object",
            'write it like {"name": "value"}',
        ),
        (
            [{**S3, "options": {"config_kwargs": 3}}],
            "[0].options.config_kwargs: expected a mapping, got a whole number",
            "write it as a mapping: {name: value}",
        ),
        (
            [{"name": "z", "flavor": "s3", "path": "s3://b", "schema": 1}],
            "[0].schema: unknown field",
            "valid fields: name, flavor, path, authentication_secret, key, secret, token, client_kwargs, config_kwargs, s3_additional_kwargs",
        ),
        (
            [{"name": "z", "flavor": "s4", "path": "s3://b"}],
            "[0].flavor: not one of azure, gcp, local, s3",
            "valid values: azure, gcp, local, s3",
        ),
        (
            [{"name": "z", "flavor": "s3", "path": "gs://b"}],
            "[0].path: gs://b is no place of kind s3",
            "write s3://BUCKET/PREFIX, or change the kind to gcs",
        ),
        (
            [{"name": "z", "flavor": "gcp", "path": "gs://b", "key": "k"}],
            "[0].key: not a field of the flavor gcp",
            "it belongs to the flavor s3",
        ),
        (
            [{"name": "z", "flavor": "gcp", "path": "gs://b", "client_kwargs": {}}],
            "[0].client_kwargs: not a field of the flavor gcp",
            "it belongs to the flavor s3",
        ),
        (
            [{"name": "z", "flavor": "local", "path": "x"}],
            "[0].path: no absolute path",
            "it begins with a slash",
        ),
        (
            [{"name": "z", "flavor": "local", "path": "s3://b"}],
            "[0].path: no path of the flavor local",
            "write an absolute path",
        ),
        (
            [{"name": "z", "flavor": "local", "path": "file://h/x"}],
            "[0].path: file://h/x names the host 'h'",
            "write file:///PATH, with three slashes",
        ),
        (
            [{"name": "z", "flavor": "s3", "path": "s3://b", "key": 1}],
            "[0].key: expected text",
            "quote it",
        ),
        (
            {"persistence": {"outputz": {}}},
            "persistence.outputz: unknown field",
            "did you mean outputs?",
        ),
        (
            {"persistence": {"data": {"d": {"stor": "s3"}}}},
            "persistence.data.d.stor: unknown field",
            "did you mean store?",
        ),
        (
            {"persistence": {"data": {"d": {}}}},
            "persistence.data.d: no place in it",
            "give one of store, hostPath and existingClaim",
        ),
        (
            {"persistence": {"data": {"d": {"store": "s3", "hostPath": "/"}}}},
            "persistence.data.d: store and hostPath together",
            "give one of store, hostPath and existingClaim",
        ),
        (
            {"persistence": {"data": {"d": {"store": "s3"}}}},
            "persistence.data.d.bucket: missing",
            "store needs it",
        ),
        (
            {"persistence": {"data": {"d": {"store": "s3", "bucket": "b", "mountPath": "/"}}}},
            "persistence.data.d.mountPath: doesn't go with store",
            "with store go bucket, secret, secretKey",
        ),
        (
            {"persistence": {"data": {"d": {"store": "s3", "bucket": "b", "secretKey": "k"}}}},
            "persistence.data.d.secretKey: there is no secret beside it",
            "give secret too",
        ),
        (
            {"persistence": {"data": {"d": {"store": "s3", "bucket": "gs://b"}}}},
            "persistence.data.d.bucket: gs://b is no place of kind s3",
            "write s3://BUCKET/PREFIX, or change the kind to gcs",
        ),
        (
            {"persistence": {"data": {"d": {"hostPath": "x", "mountPath": "/"}}}},
            "persistence.data.d.hostPath: no absolute path",
            "it begins with a slash",
        ),
        (
            {"persistence": {"data": {"d": {"existingClaim": "x"}}}},
            "persistence.data.d.mountPath: missing",
            "existingClaim needs it",
        ),
        (
            {"persistence": {"data": {"d": {"existingClaim": "x", "mountPath": "m"}}}},
            "persistence.data.d.mountPath: no absolute path",
            "it begins with a slash",
        ),
        (
            {"persistence": {"outputs": {"store": "s3", "buket": "b"}}},
            "persistence.outputs.buket: unknown field",
            "did you mean bucket?",
        ),
        (
            {"persistence": {"data": {"a b": {"store": 1}}}},
            "persistence.data['a b'].store: expected text, got a whole number",
            "quote it",
        ),
        (
            {"persistence": []},
            "persistence: expected a mapping, got a list",
            "write it as a mapping: {name: value}",
        ),
    ],
)
def test_an_error_in_a_catalog_names_its_place_and_mend(document, said, hint):
    """An unknown field is an error that names the field, its place and the nearest valid one."""
    with pytest.raises(ConfigurationError) as caught:
        read_catalog(document, "c.yaml")
    assert (f"c.yaml: {said}", hint) == (caught.value.message, caught.value.hint)


def test_a_syntax_error_in_a_json_string_says_where_the_string_stands():
    """Kwargs as JSON text: the place of the text, and the place in it."""
    with pytest.raises(ConfigurationError) as caught:
        read_catalog([{**S3, "options": {"client_kwargs": '{"a": hunter2}'}}], "c.yaml")
    assert (
        caught.value.message == "c.yaml: [0].options.client_kwargs:1:7: not JSON: Expecting value"
    )


def test_polyaxons_other_kinds_pass_only_where_they_are_allowed():
    """In Polyaxon's catalog stand git hosts and registries too: they pass, as holding no files."""
    entries = [S3, {"name": "g", "kind": "git", "schema": {"url": "x"}, "secret": {"name": "s"}}]
    found = read_catalog(entries, "c", foreign_kinds=True)
    assert Foreign("g", "git", "c: [1]") == found[1]
    assert found[0].name == "a"
    with pytest.raises(ConfigurationError, match="kind: not one of"):
        read_catalog(entries, "c")


@given(documents)
def test_no_document_raises_anything_but_a_configuration_error(document):
    """Whatever a catalog holds: connections, or a ConfigurationError that begins with its origin."""
    said = None
    try:
        read_catalog(document, "origin", foreign_kinds=True)
    except ConfigurationError as error:
        said = error.message
    assert said is None or said.startswith("origin: ")


@given(st.dictionaries(names, documents, max_size=8))
def test_no_entry_raises_anything_but_a_configuration_error(entry):
    """The same for entries that begin well."""
    said = None
    try:
        read_catalog(
            {"connections": [{**S3, **entry}], "persistence": {"data": {"x": entry}}}, "origin"
        )
    except ConfigurationError as error:
        said = error.message
    assert said is None or said.startswith("origin: ")


def test_the_same_catalog_as_json_reads_the_same():
    """A catalog is a YAML or JSON document."""
    data = parse_document(CONTRACT, "c")
    assert read_catalog(data, "c") == read_catalog(parse_document(json.dumps(data), "c"), "c")
