"""Which names are names of credentials."""

import pytest

from lighterman.connections.names import is_credential, is_credential_kwarg, login_in_url


@pytest.mark.parametrize(
    "name",
    [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "aws_secret_access_key",
        "AWS_SESSION_TOKEN",
        "AWS_SECURITY_TOKEN",
        "GC_KEYFILE_DICT",
        "GOOGLE_KEYFILE_DICT",
        "AZURE_STORAGE_CONNECTION_STRING",
        "AZURE_CONNECTION_STRING",
        "AZURE_STORAGE_KEY",
        "AZURE_ACCOUNT_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_SAS_TOKEN",
        "AZURE_CLIENT_SECRET",
        "HF_TOKEN",
        "DB_PASSWORD",
        "PASSWORD",
    ],
)
def test_the_contracts_secret_keys_are_credentials(name):
    """Every key of the contract's table that is a secret is masked from the moment it is read."""
    assert is_credential(name)


@pytest.mark.parametrize(
    "name",
    [
        "AWS_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ROLE_ARN",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GC_KEY_PATH",
        "AZURE_STORAGE_ACCOUNT",
        "AZURE_TENANT_ID",
        "AZURE_CLIENT_ID",
        "AZURE_FEDERATED_TOKEN_FILE",
        "MONKEY",
    ],
)
def test_settings_and_paths_are_no_credentials(name):
    """What only says where and how stays readable."""
    assert not is_credential(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("aws_secret_access_key", True),
        ("aws_access_key_id", True),
        ("aws_session_token", True),
        ("SSECustomerKey", True),
        ("CopySourceSSECustomerKey", True),
        ("SSECustomerKeyMD5", False),
        ("SSECustomerAlgorithm", False),
        ("SSEKMSKeyId", False),
        ("region_name", False),
        ("web_identity_token_file", False),
    ],
)
def test_arguments_of_the_sdk_are_known_by_their_names(name, expected):
    """Customer keys and logins among the kwargs are secrets; ids, digests and paths aren't."""
    assert expected == is_credential_kwarg(name)


@pytest.mark.parametrize(
    ("url", "login"),
    [
        ("http://user:pass@proxy:1", "user:pass"),
        ("http://user:p@ss@proxy", "user:p@ss"),
        ("http://proxy/a@b", ""),
        ("proxy", ""),
        ("", ""),
    ],
)
def test_a_login_in_a_url_is_found(url, login):
    """A proxy's user and password are a secret, a path with an at sign isn't."""
    assert login == login_in_url(url)
