"""Where a login comes from: one source for the login itself, all sources for the settings around it."""

import json

import pytest

from lighterman.connections.credentials import S3Login, S3Logins, other_client_kwargs
from lighterman.connections.model import Bucket, Connection, Mount, Options
from lighterman.errors import ConfigurationError, CredentialsError
from lighterman.secret import Secret

KEYS = {"AWS_ACCESS_KEY_ID": "idididid", "AWS_SECRET_ACCESS_KEY": "hunter22"}


def connection(**fields) -> Connection:
    return Connection(name="c", kind="s3", schema=Bucket("b"), **fields)


def login(environ=None, **fields) -> S3Login:
    return S3Logins(connection(**fields), environ or {}).current()


def keys_of(found: S3Login) -> tuple[str, ...]:
    parts = (found.access_key_id, found.secret_access_key, found.session_token)
    return tuple(part.reveal() for part in parts if part is not None)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({**KEYS}, ("idididid", "hunter22")),
        ({name: f"{value}\n" for name, value in KEYS.items()}, ("idididid", "hunter22")),
        ({name: f"{value}\r\n" for name, value in KEYS.items()}, ("idididid", "hunter22")),
        ({name.lower(): value for name, value in KEYS.items()}, ("idididid", "hunter22")),
        ({**KEYS, "AWS_SESSION_TOKEN": "tokentok"}, ("idididid", "hunter22", "tokentok")),
        ({**KEYS, "AWS_SECURITY_TOKEN": "tokentok"}, ("idididid", "hunter22", "tokentok")),
        ({**KEYS, "AWS_SESSION_TOKEN": "\n"}, ("idididid", "hunter22")),
        ({"credentials": json.dumps(KEYS)}, ("idididid", "hunter22")),
        ({"any.json": "\n " + json.dumps({"other": [1], **KEYS})}, ("idididid", "hunter22")),
        (
            {"j": json.dumps({name.lower(): value for name, value in KEYS.items()})},
            ("idididid", "hunter22"),
        ),
        ({**KEYS, "same.json": json.dumps(KEYS)}, ("idididid", "hunter22")),
        (
            {**KEYS, "ca.crt": "-----BEGIN", "raw": b"\xff\xfe", "list.json": "[1]"},
            ("idididid", "hunter22"),
        ),
        ({**KEYS, "huge": "{" + " " * (1 << 20)}, ("idididid", "hunter22")),
    ],
)
def test_a_login_is_read_from_mounted_files(mounted, files, expected):
    """One file per key, or one JSON file of any name holding the keys; a trailing newline is stripped."""
    secret = mounted("s3", files)
    found = login(secret=Mount(name="s", mount_path=str(secret.root)))
    assert expected == keys_of(found)
    assert f"files in {secret.root}" == found.source


def test_a_secret_and_a_config_map_are_one_source(mounted):
    """The id may stand in the config map and the secret in the secret: both are the files."""
    secret = mounted("secret", {"AWS_SECRET_ACCESS_KEY": "hunter22"})
    config = mounted("config", {"AWS_ACCESS_KEY_ID": "idididid", "AWS_REGION": "r"})
    found = login(
        secret=Mount(name="s", mount_path=str(secret.root)),
        config_map=Mount(name="c", mount_path=str(config.root)),
    )
    assert ("idididid", "hunter22") == keys_of(found)
    assert "r" == found.region
    assert f"files in {secret.root} and {config.root}" == found.source


def test_only_the_items_of_a_mount_are_read(mounted):
    """items name the keys of the secret that count."""
    secret = mounted("s3", {**KEYS, "other.json": json.dumps({"AWS_ACCESS_KEY_ID": "x"})})
    mount = Mount(name="s", mount_path=str(secret.root), items=tuple(KEYS))
    assert ("idididid", "hunter22") == keys_of(login(secret=mount))


def test_a_mounted_file_in_place_of_a_directory_is_read(tmp_path):
    """A subPath mount is one file."""
    path = tmp_path / "credentials"
    path.write_text(json.dumps(KEYS))
    found = login(secret=Mount(name="s", mount_path=str(path)))
    assert (f"files in {path}", ("idididid", "hunter22")) == (found.source, keys_of(found))


OTHER = {"AWS_ACCESS_KEY_ID": "processid", "AWS_SECRET_ACCESS_KEY": "processkey"}


def test_the_first_source_with_a_login_wins_whole(mounted):
    """Files, then the connection's env, then the process environment, then the SDK's own chain."""
    secret = mounted("s3", KEYS)
    mount = Mount(name="s", mount_path=str(secret.root))
    own = {"AWS_ACCESS_KEY_ID": "ownownid", "AWS_SECRET_ACCESS_KEY": "ownownkey"}
    environ = {**OTHER, "AWS_SESSION_TOKEN": "processtoken"}
    found = [
        login(environ, secret=mount, env=own),
        login(environ, env=own),
        login(environ),
        login(),
        login(environ, secret=mount, env=own, options=Options(anonymous=True)),
    ]
    assert [
        (f"files in {secret.root}", ("idididid", "hunter22")),
        ("env of the connection", ("ownownid", "ownownkey")),
        ("process environment", ("processid", "processkey", "processtoken")),
        ("the SDK's own chain", ()),
        ("anonymous", ()),
    ] == [(each.source, keys_of(each)) for each in found]
    assert [False, False, False, False, True] == [each.anonymous for each in found]


def test_a_source_behind_the_first_one_is_not_even_looked_at(mounted):
    """First found wins: half a login in the process environment is no trouble of a connection with its own."""
    secret = mounted("s3", KEYS)
    environ = {"AWS_ACCESS_KEY_ID": "half", "AWS_USE_SSL": "maybe", "AWS_REGION": "no region"}
    own = {**KEYS, "AWS_USE_SSL": "true", "AWS_REGION": "r"}
    assert "env of the connection" == login(environ, env=own).source
    mount = Mount(name="s", mount_path=str(secret.root))
    half = {"AWS_ACCESS_KEY_ID": "half", "AWS_USE_SSL": "true", "AWS_REGION": "r"}
    assert f"files in {secret.root}" == login(environ, env=half, secret=mount).source


def test_role_settings_without_a_role_are_no_trouble_of_the_environment():
    """A duration that some other tool left in the environment means nothing without a role."""
    found = login({**OTHER, "AWS_SESSION_DURATION": "1"})
    assert (3600, None) == (found.role_session_seconds, found.role_arn)


def test_a_mount_without_a_login_is_passed_over_and_remembered(mounted, tmp_path):
    """Declared mounts in which no login was found are named, for the hint of a refusal."""
    absent = str(tmp_path / "absent")
    settings = mounted("config", {"AWS_REGION": "r"})
    found = login(
        OTHER,
        secret=Mount(name="s", mount_path=absent),
        config_map=Mount(name="c", mount_path=str(settings.root)),
    )
    assert ("process environment", "r", (absent, str(settings.root))) == (
        found.source,
        found.region,
        found.empty_mounts,
    )


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({**KEYS, "AWS_ROLE_ARN": "arn:r"}, {"role_arn": "arn:r"}),
        ({"AWS_ASSUME_ROLE": "arn:r"}, {"role_arn": "arn:r"}),
        (
            {
                "AWS_ROLE_ARN": "arn:r",
                "AWS_SESSION_NAME": "me",
                "AWS_SESSION_DURATION": "900",
                "AWS_STS_ENDPOINT_URL": "http://sts/",
            },
            {
                "role_arn": "arn:r",
                "role_session_name": "me",
                "role_session_seconds": 900,
                "sts_endpoint": "http://sts",
            },
        ),
        (
            {"AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AWS_ROLE_ARN": "arn:r"},
            {"role_arn": "arn:r", "web_identity_token_file": "/t"},
        ),
        ({"AWS_PROFILE": "p"}, {"profile": "p"}),
        ({"AWS_PROFILE": "p", "AWS_ROLE_ARN": "arn:r"}, {"profile": "p", "role_arn": "arn:r"}),
    ],
)
def test_roles_profiles_and_web_identities_are_logins(env, expected):
    """A role, a profile and a web identity with its role are logins of their source, with the role's settings."""
    found = login(OTHER, env=env)
    given = {name: getattr(found, name) for name in expected}
    assert expected == given
    assert "env of the connection" == found.source
    assert ("idididid", "hunter22")[: len(keys_of(found))] == keys_of(found)


def test_keys_in_the_environment_come_before_the_web_identity_that_eks_puts_there():
    """As in the SDK: keys, then the web identity, to which the role belongs, then the profile."""
    environ = {"AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AWS_ROLE_ARN": "arn:r", "AWS_PROFILE": "p"}
    with_keys = login({**OTHER, **environ})
    assert (("processid", "processkey"), None, None, None) == (
        keys_of(with_keys),
        with_keys.role_arn,
        with_keys.web_identity_token_file,
        with_keys.profile,
    )
    without = login(environ)
    assert ("arn:r", "/t", None) == (
        without.role_arn,
        without.web_identity_token_file,
        without.profile,
    )


@pytest.mark.parametrize(
    ("options", "env", "environ", "expected"),
    [
        ({}, {}, {}, (None, None, True, True)),
        ({"region": "o"}, {"AWS_REGION": "e"}, {"AWS_REGION": "p"}, ("o", None, True, True)),
        ({}, {"AWS_REGION": "e"}, {"AWS_REGION": "p"}, ("e", None, True, True)),
        ({}, {}, {"AWS_REGION": "p", "AWS_DEFAULT_REGION": "d"}, ("p", None, True, True)),
        ({}, {}, {"AWS_DEFAULT_REGION": "d"}, ("d", None, True, True)),
        ({}, {}, {"S3_REGION": "k"}, ("k", None, True, True)),
        (
            {"endpoint": "http://o:1/"},
            {"AWS_ENDPOINT_URL": "http://e"},
            {},
            (None, "http://o:1", False, True),
        ),
        (
            {},
            {"AWS_ENDPOINT_URL": "https://e/"},
            {"AWS_ENDPOINT_URL": "http://p"},
            (None, "https://e", True, True),
        ),
        (
            {},
            {},
            {"AWS_ENDPOINT_URL": "http://p", "AWS_ENDPOINT_URL_S3": "http://s"},
            (None, "http://s", False, True),
        ),
        ({}, {}, {"AWS_ENDPOINT_URL": "m:9000"}, (None, "https://m:9000", True, True)),
        (
            {},
            {"AWS_USE_SSL": "false"},
            {"AWS_ENDPOINT_URL": "m:9000"},
            (None, "http://m:9000", False, True),
        ),
        (
            {},
            {},
            {"S3_ENDPOINT": "m:9000", "S3_USE_HTTPS": "0"},
            (None, "http://m:9000", False, True),
        ),
        ({}, {"AWS_USE_SSL": "false"}, {}, (None, None, False, True)),
        ({"endpoint": "https://m"}, {"AWS_USE_SSL": "false"}, {}, (None, "https://m", True, True)),
        ({"endpoint": "http://[::1]:9000"}, {}, {}, (None, "http://[::1]:9000", False, True)),
        ({"endpoint": "http://m/s3"}, {}, {}, (None, "http://m/s3", False, True)),
        ({}, {"AWS_VERIFY_SSL": "false"}, {}, (None, None, True, False)),
        ({}, {"AWS_VERIFY_SSL": "/ca.pem"}, {}, (None, None, True, "/ca.pem")),
        ({}, {"AWS_CA_BUNDLE": "/ca.pem"}, {}, (None, None, True, "/ca.pem")),
        (
            {},
            {"AWS_VERIFY_SSL": "true", "AWS_CA_BUNDLE": "/ca.pem"},
            {},
            (None, None, True, "/ca.pem"),
        ),
        ({}, {"AWS_VERIFY_SSL": "no"}, {"AWS_CA_BUNDLE": "/ca.pem"}, (None, None, True, False)),
        ({"ca_bundle": "/o.pem"}, {"AWS_VERIFY_SSL": "false"}, {}, (None, None, True, "/o.pem")),
        ({}, {}, {"S3_VERIFY_SSL": "0"}, (None, None, True, False)),
        (
            {},
            {"aws_region": "low", "aws_endpoint_url": "http://low"},
            {},
            ("low", "http://low", False, True),
        ),
    ],
)
def test_settings_merge_across_sources_options_first(options, env, environ, expected):
    """Only region and endpoint and the like merge; options first."""
    found = login(environ, env=env, options=Options(**options))
    assert expected == (found.region, found.endpoint, found.use_ssl, found.verify)


def test_settings_merge_around_a_login_of_another_source(mounted):
    """Keys from files, region from the connection's env, endpoint from the process."""
    secret = mounted("s3", KEYS)
    found = login(
        {**OTHER, "AWS_ENDPOINT_URL": "http://p"},
        secret=Mount(name="s", mount_path=str(secret.root)),
        env={"AWS_REGION": "e"},
    )
    assert (("idididid", "hunter22"), "e", "http://p") == (
        keys_of(found),
        found.region,
        found.endpoint,
    )


def test_boto3s_client_arguments_are_the_connections_own_login():
    """client_kwargs may carry the login, as in ZenML; what isn't the login is left for the store."""
    options = Options(
        client_kwargs={
            "aws_access_key_id": "idididid",
            "aws_secret_access_key": Secret("hunter22"),
            "aws_session_token": None,
            "endpoint_url": "https://k/",
            "region_name": "kr",
            "use_ssl": False,
            "verify": False,
            "api_version": "2006-03-01",
        }
    )
    found = login({**OTHER, "AWS_REGION": "p"}, options=options)
    assert (
        S3Login(
            source="client_kwargs of the connection",
            access_key_id=Secret("idididid"),
            secret_access_key=Secret("hunter22"),
            region="kr",
            endpoint="https://k",
            verify=False,
        )
        == found
    )
    assert {"api_version": "2006-03-01"} == other_client_kwargs(options)


@pytest.mark.parametrize(
    ("fields", "error", "said", "hint"),
    [
        (
            {"env": {"AWS_ACCESS_KEY_ID": "hunter22"}},
            CredentialsError,
            "AWS_ACCESS_KEY_ID (env of the connection) without AWS_SECRET_ACCESS_KEY",
            "give AWS_SECRET_ACCESS_KEY in the same place: a login is never put together from several",
        ),
        (
            {"env": {"AWS_SECRET_ACCESS_KEY": "hunter22"}},
            CredentialsError,
            "AWS_SECRET_ACCESS_KEY (env of the connection) without AWS_ACCESS_KEY_ID",
            "give AWS_ACCESS_KEY_ID in the same place: a login is never put together from several",
        ),
        (
            {"env": {"AWS_SECURITY_TOKEN": "hunter22"}},
            CredentialsError,
            "AWS_SECURITY_TOKEN (env of the connection) without AWS_ACCESS_KEY_ID",
            "give AWS_ACCESS_KEY_ID in the same place: a login is never put together from several",
        ),
        (
            {"env": {"AWS_ACCESS_KEY_ID": "hunter22", "AWS_SECRET_ACCESS_KEY": ""}},
            CredentialsError,
            "AWS_ACCESS_KEY_ID (env of the connection) without AWS_SECRET_ACCESS_KEY",
            "give AWS_SECRET_ACCESS_KEY in the same place: a login is never put together from several",
        ),
        (
            {"options": Options(client_kwargs={"aws_access_key_id": "hunter22"})},
            CredentialsError,
            "AWS_ACCESS_KEY_ID (client_kwargs of the connection) without AWS_SECRET_ACCESS_KEY",
            "give AWS_SECRET_ACCESS_KEY in the same place: a login is never put together from several",
        ),
        (
            {"env": {"AWS_WEB_IDENTITY_TOKEN_FILE": "/hunter22"}},
            CredentialsError,
            "AWS_WEB_IDENTITY_TOKEN_FILE (env of the connection) without AWS_ROLE_ARN",
            "give AWS_ROLE_ARN in the same place: the token is exchanged for that role",
        ),
        (
            {"env": {**KEYS, "AWS_PROFILE": "hunter22"}},
            ConfigurationError,
            "AWS_ACCESS_KEY_ID and AWS_PROFILE (env of the connection) are several logins at once",
            "keep one of them",
        ),
        (
            {
                "env": KEYS,
                "options": Options(
                    client_kwargs={"aws_access_key_id": "a", "aws_secret_access_key": "hunter22"}
                ),
            },
            ConfigurationError,
            "a login is said twice, in the client_kwargs of the connection and in the env of the connection",
            "keep one of them",
        ),
        (
            {"options": Options(client_kwargs={"region_name": 3})},
            ConfigurationError,
            "client_kwargs of the connection: region_name is no text",
            "quote it",
        ),
        (
            {"env": {"AWS_ROLE_ARN": "r", "AWS_SESSION_DURATION": "hunter22"}},
            ConfigurationError,
            "AWS_SESSION_DURATION (env of the connection): no number of seconds that STS takes",
            "a whole number, 900 to 43200",
        ),
        (
            {"env": {"AWS_ROLE_ARN": "r", "AWS_SESSION_DURATION": "60"}},
            ConfigurationError,
            "AWS_SESSION_DURATION (env of the connection): no number of seconds that STS takes",
            "a whole number, 900 to 43200",
        ),
        (
            {"env": {"AWS_ROLE_ARN": "r", "AWS_SESSION_NAME": "hunter 22"}},
            ConfigurationError,
            "AWS_SESSION_NAME (env of the connection): no name of a session",
            "2 to 64 letters, digits or any of _ + = , . @ -",
        ),
        (
            {"env": {"AWS_USE_SSL": "hunter22"}},
            ConfigurationError,
            "AWS_USE_SSL (env of the connection): neither true nor false",
            "write true or false",
        ),
        (
            {"env": {"AWS_VERIFY_SSL": "hunter22"}},
            ConfigurationError,
            "AWS_VERIFY_SSL (env of the connection): neither true nor false",
            "write true or false, or the path of a CA bundle, with a slash in it",
        ),
        (
            {"env": {"AWS_REGION": "hunter 22"}},
            ConfigurationError,
            "AWS_REGION (env of the connection): no name of a region",
            "write it like eu-west-1",
        ),
        (
            {"options": Options(region="hunter\n22")},
            ConfigurationError,
            "region (options of the connection): no name of a region",
            "write it like eu-west-1",
        ),
        (
            {"options": Options(endpoint="ftp://hunter22")},
            ConfigurationError,
            "endpoint (options of the connection): no URL of an endpoint",
            "write it like https://minio.example:9000",
        ),
        (
            {"options": Options(endpoint="https://user:hunter22@m")},
            ConfigurationError,
            "endpoint (options of the connection): no URL of an endpoint",
            "write it like https://minio.example:9000",
        ),
        *(
            (
                {"options": Options(endpoint=f"http://{place}")},
                ConfigurationError,
                "endpoint (options of the connection): no URL of an endpoint",
                "write it like https://minio.example:9000",
            )
            for place in ("m:65536", "m:0", "a..b", "%:1", "m\0", "n" * 64, "[:::::]:9000")
        ),
        (
            {"env": {"AWS_STS_ENDPOINT_URL": "http://"}},
            ConfigurationError,
            "AWS_STS_ENDPOINT_URL (env of the connection): no URL of an endpoint",
            "write it like https://minio.example:9000",
        ),
    ],
)
def test_a_login_that_is_off_names_source_and_key_and_never_the_value(fields, error, said, hint):
    """77 for a missing half, 78 for a malformed setting: the source and the key, never the value."""
    with pytest.raises(error) as caught:
        login(OTHER, **fields)
    assert (said, hint, "c") == (caught.value.message, caught.value.hint, caught.value.connection)
    assert "hunter22" not in repr(caught.value)


@pytest.mark.parametrize(
    ("files", "error", "said"),
    [
        (
            {"AWS_ACCESS_KEY_ID": "hunter22"},
            CredentialsError,
            "AWS_ACCESS_KEY_ID (files in {root}) without AWS_SECRET_ACCESS_KEY",
        ),
        (
            {"x.json": '{"AWS_ACCESS_KEY_ID": hunter22}'},
            ConfigurationError,
            "{root}/x.json:1:23: not JSON: Expecting value",
        ),
        (
            {"x": '{"AWS_ACCESS_KEY_ID": ["hunter22"]}'},
            ConfigurationError,
            "{root}/x: AWS_ACCESS_KEY_ID is no text",
        ),
        (
            {**KEYS, "x": '{"AWS_ACCESS_KEY_ID": "hunter23"}'},
            ConfigurationError,
            "AWS_ACCESS_KEY_ID is said twice, differently: in {root}/AWS_ACCESS_KEY_ID and in {root}/x",
        ),
        ({**KEYS, "AWS_REGION": b"\xff"}, ConfigurationError, "{root}/AWS_REGION isn't text"),
        (
            {**KEYS, "AWS_REGION": "a\0b"},
            ConfigurationError,
            "{root}/AWS_REGION is no file of a key",
        ),
        (
            {**KEYS, "AWS_REGION": "a" * ((1 << 20) + 1)},
            ConfigurationError,
            "{root}/AWS_REGION is no file of a key",
        ),
        (
            {**KEYS, "x": '{"AWS_SESSION_DURATION": 60}'},
            ConfigurationError,
            "AWS_SESSION_DURATION (files in {root}): no number of seconds that STS takes",
        ),
    ],
)
def test_mounted_files_that_are_off_are_named(mounted, files, error, said):
    """JSON that isn't, a key twice, a file that holds no key: the file is named, never the value."""
    secret = mounted("s3", files)
    with pytest.raises(error) as caught:
        login(OTHER, secret=Mount(name="s", mount_path=str(secret.root)))
    assert said.format(root=secret.root) == caught.value.message
    assert "hunter2" not in caught.value.message + caught.value.hint


def test_numbers_and_booleans_in_a_json_file_are_their_texts(mounted):
    """A JSON file of keys may write a duration and a switch without quotes; null is as if it weren't there."""
    keys = {**KEYS, "AWS_SESSION_DURATION": 1000, "AWS_USE_SSL": False, "AWS_REGION": None}
    secret = mounted("s3", {"x": json.dumps(keys)})
    found = login(secret=Mount(name="s", mount_path=str(secret.root)))
    assert (1000, False, None) == (found.role_session_seconds, found.use_ssl, found.region)


def test_nothing_of_a_login_can_be_seen():
    """repr and str of connection and login mask what is secret."""
    where = connection(
        env={**KEYS, "AWS_SESSION_TOKEN": "tokentok"},
        options=Options(
            proxy="http://user:proxypass@proxy:1",
            client_kwargs={"aws_secret_access_key": "clientsecret"},
            config_kwargs={
                "proxies": {"https": "http://u:confpass@p"},
                "list": ["http://u:listpass@p"],
            },
            s3_additional_kwargs={
                "SSECustomerKey": "it's a \\ key",
                "SSECustomerAlgorithm": "AES256",
            },
        ),
    )
    shown = f"{where} {where!r} {where.options} {where.env}"
    found = login(env={**KEYS, "AWS_SESSION_TOKEN": "tokentok"})
    shown += f"{found} {found!r}"
    for secret in (
        "idididid",
        "hunter22",
        "tokentok",
        "proxypass",
        "clientsecret",
        "confpass",
        "listpass",
        "it's",
    ):
        assert secret not in shown
    assert "AES256" in shown
    assert "@proxy:1" in shown
