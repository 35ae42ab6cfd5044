"""Azure's connection strings and signatures, read strictly: whatever they hold, nothing secret is quoted."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lighterman.connections.azure_connection_string import (
    ConnectionString,
    checked_key,
    read_connection_string,
)
from lighterman.connections.azure_endpoint import account_in, checked_endpoint, with_account
from lighterman.connections.azure_sas import read_sas
from lighterman.connections.sources import Setting
from lighterman.errors import ConfigurationError, CredentialsError, LightermanError

KEY = base64.b64encode(bytes(range(64))).decode()
SAS = "sv=2023-11-03&se=2099-01-01&sr=c&sp=rl&sig=c2ln"


def setting(value: str) -> Setting:
    return Setting("AZURE_CONNECTION_STRING", value, "here")


def read(text: str) -> ConnectionString:
    return read_connection_string(setting(text))


@pytest.mark.parametrize(
    ("text", "account", "endpoint"),
    [
        (f"AccountName=acct;AccountKey={KEY}", "acct", "https://acct.blob.core.windows.net"),
        (f"accountname=acct;ACCOUNTKEY={KEY};", "acct", "https://acct.blob.core.windows.net"),
        (f" DefaultEndpointsProtocol=http;AccountName=acct;AccountKey={KEY};EndpointSuffix=core.chinacloudapi.cn \n", "acct", "http://acct.blob.core.chinacloudapi.cn"),
        (f"AccountName=acct;AccountKey={KEY};BlobEndpoint=http://127.0.0.1:10000/acct/;QueueEndpoint=http://127.0.0.1:10001/acct", "acct", "http://127.0.0.1:10000/acct"),
        (f"BlobEndpoint=https://acct.blob.core.windows.net/;QueueEndpoint=https://acct.queue.core.windows.net/;SharedAccessSignature={SAS}", "acct", "https://acct.blob.core.windows.net"),
        (f"BlobEndpoint=https://blobs.example.com;SharedAccessSignature=?{SAS}", "", "https://blobs.example.com"),
        (f"AccountName=acct;AccountKey={KEY};BlobEndpoint=https://blobs.example.com", "acct", "https://blobs.example.com"),
        ("UseDevelopmentStorage=true", "devstoreaccount1", "http://127.0.0.1:10000/devstoreaccount1"),
        ("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite", "devstoreaccount1", "http://azurite:10000/devstoreaccount1"),
        (f"UseDevelopmentStorage=false;AccountName=acct;AccountKey={KEY}", "acct", "https://acct.blob.core.windows.net"),
    ],
)  # fmt: skip
def test_a_connection_string_is_read_as_azure_writes_it(text, account, endpoint):
    """In any order and case, with the endpoints of other services, of another cloud, of an emulator."""
    found = read(text)
    assert (account, endpoint) == (found.account, found.own_endpoint)
    assert (found.key is None) != (found.sas is None)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("", ConfigurationError, "no connection string: piece 1 of 1 isn't like Name=value"),
        ("hunter2", ConfigurationError, "no connection string: piece 1 of 1 isn't like Name=value"),
        (f"AccountName=acct;AccountKey={KEY};hunter2", ConfigurationError, "piece 3 of 3 isn't like Name=value"),
        (f"AccountNaem=acct;AccountKey={KEY}", ConfigurationError, "piece 1 of 2 in it has an unknown name 'AccountNaem'"),
        ("AccountName=acct;hunter2==", ConfigurationError, "piece 2 of 2 in it has an unknown name"),
        (f"AccountName=acct;;AccountKey={KEY}", ConfigurationError, "piece 2 of 3 isn't like Name=value"),
        (f"AccountName=;AccountKey={KEY}", ConfigurationError, "its AccountName is empty"),
        (f"AccountName=acct;AccountName=acct;AccountKey={KEY}", ConfigurationError, "AccountName stands in it twice"),
        (f"AccountName=Acct;AccountKey={KEY}", ConfigurationError, "'Acct' is no name of a storage account"),
        ("AccountName=acct;AccountKey=hunter2!", CredentialsError, "AccountKey of AZURE_CONNECTION_STRING (here): no account key: its 8 characters aren't base64"),
        (f"AccountName=acct;AccountKey={KEY};SharedAccessSignature={SAS}", ConfigurationError, "are two logins"),
        (f"DefaultEndpointsProtocol=ftp;AccountName=acct;AccountKey={KEY}", ConfigurationError, "neither https nor http"),
        (f"AccountName=acct;AccountKey={KEY};BlobEndpoint=https://another.blob.core.windows.net", ConfigurationError, "its AccountName is acct, and its BlobEndpoint is that of another"),
        (f"AccountName=acct;AccountKey={KEY};BlobEndpoint=nowhere at all", ConfigurationError, "BlobEndpoint of AZURE_CONNECTION_STRING (here): no URL of an endpoint"),
        (f"UseDevelopmentStorage=true;AccountKey={KEY}", ConfigurationError, "UseDevelopmentStorage=true beside AccountKey"),
        ("UseDevelopmentStorage=yes", ConfigurationError, "its UseDevelopmentStorage is neither true nor false"),
        ("AccountName=acct", CredentialsError, "neither AccountKey nor SharedAccessSignature in it"),
        (f"AccountKey={KEY}", CredentialsError, "AccountName is missing in it"),
        (f"SharedAccessSignature={SAS}", CredentialsError, "BlobEndpoint is missing in it"),
        ("AccountName=acct;SharedAccessSignature=sv=1&se=2", CredentialsError, "SharedAccessSignature of AZURE_CONNECTION_STRING (here): a SAS without sig="),
    ],
)  # fmt: skip
def test_a_connection_string_that_is_none_says_why(text, kind, message):
    """A piece that is missing, unknown, malformed or contradicts another, in one line with its mend."""
    with pytest.raises(LightermanError) as caught:
        read(text)
    assert kind is type(caught.value)
    assert message in caught.value.message
    assert "AZURE_CONNECTION_STRING (here)" in caught.value.message
    assert caught.value.hint
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"


def test_a_misspelt_name_is_set_right():
    """The nearest valid name is in the hint."""
    with pytest.raises(ConfigurationError) as caught:
        read(f"AccountNaem=acct;AccountKey={KEY}")
    assert "did you mean AccountName?" == caught.value.hint


PIECES = st.sampled_from(
    ["AccountName", "AccountKey", "SharedAccessSignature", "BlobEndpoint", "x"]
)
SECRET_PIECES = ("AccountKey", "SharedAccessSignature")
SECRETS = st.text("ghjkmnpqrstwxyz0123456789+/=&?;% ", min_size=12, max_size=30)


@given(st.lists(st.tuples(PIECES, SECRETS), max_size=4), st.sampled_from([";", ";;", ""]))
def test_whatever_is_pasted_is_read_or_explained(pieces, separator):
    """No other error than ours, of one line, and no value in it."""
    text = separator.join(f"{name}={value}" for name, value in pieces)
    try:
        read(text)
    except LightermanError as error:
        said = f"{error.message} {error.hint}"
        assert "\n" not in said
        secret = {value for name, value in pieces if name in SECRET_PIECES}
        shown = [value for name, value in pieces if name not in SECRET_PIECES]
        for value in secret:
            # Drawn values may hold each other: what stands in an account's name is no leak.
            assert value not in said or any(value in other for other in shown)


@given(st.binary(min_size=1, max_size=80))
def test_every_key_in_base64_is_a_key(content):
    """Emulators take keys of any length."""
    text = base64.b64encode(content).decode()
    assert text == checked_key(setting(text)).reveal()


@given(st.text(min_size=1).filter(str.strip), st.booleans())
def test_a_signature_survives_however_it_is_quoted(signature, has_mark):
    """What a token says is kept, byte for byte, and percent-encoded once."""
    from urllib.parse import parse_qs, quote

    text = f"sv=1&se=2099-01-01&sig={quote(signature, safe='')}"
    token = read_sas(setting(f"?{text}" if has_mark else text)).token.reveal()
    assert [signature] == parse_qs(token, keep_blank_values=True)["sig"]
    assert token == read_sas(setting(token)).token.reveal()


@pytest.mark.parametrize(
    ("endpoint", "account", "whole"),
    [
        ("https://acct.blob.core.windows.net", "acct", "https://acct.blob.core.windows.net"),
        ("https://acct-secondary.blob.core.windows.net", "acct", "https://acct-secondary.blob.core.windows.net"),
        ("https://acct.z01.blob.storage.azure.net", "acct", "https://acct.z01.blob.storage.azure.net"),
        ("http://127.0.0.1:10000/dev", "dev", "http://127.0.0.1:10000/dev"),
        ("http://127.0.0.1:10000", "", "http://127.0.0.1:10000/mine"),
        ("http://[::1]:10000", "", "http://[::1]:10000/mine"),
        ("http://azurite:10000", "", "http://azurite:10000/mine"),
        ("http://host.docker.internal:10000", "", "http://host.docker.internal:10000/mine"),
        ("https://blobs.example.com", "", "https://blobs.example.com"),
    ],
)  # fmt: skip
def test_an_endpoint_tells_its_account_or_is_given_it(endpoint, account, whole):
    """In its host, in its path; behind an address or a bare name it is put into the path."""
    assert endpoint == checked_endpoint(setting(endpoint))
    assert account == account_in(endpoint)
    assert whole == with_account(endpoint, "mine")
