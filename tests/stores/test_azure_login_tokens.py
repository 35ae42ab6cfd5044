"""Bearer tokens: who is asked for them, how, when again, and what it means that none came."""

import io
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from servers.entra import (
    CLIENT,
    CLIENT_SECRET,
    IDENTITY_HEADER,
    TENANT,
    Answer,
    TokenServer,
    refusal,
)

from lighterman import log
from lighterman.connections.azure_login import AzureLogins
from lighterman.connections.model import Bucket, Connection, Options
from lighterman.errors import (
    ConfigurationError,
    CredentialsError,
    LightermanError,
    NoCredentialsError,
    SlowDownError,
    TransientError,
)
from lighterman.stores.azure.access import Access
from lighterman.stores.azure.login import access_of
from lighterman.stores.azure.tokens import Tokens
from lighterman.stores.failures import Place
from lighterman.stores.network import Network

PRINCIPAL = {
    "AZURE_TENANT_ID": TENANT,
    "AZURE_CLIENT_ID": CLIENT,
    "AZURE_CLIENT_SECRET": CLIENT_SECRET,
}


class WallClock:
    """A clock whose time of day is told."""

    def __init__(self, now_seconds: float) -> None:
        self.now_seconds = now_seconds

    def monotonic(self) -> float:
        return self.now_seconds

    def wall(self) -> float:
        return self.now_seconds

    def wait(self, seconds: float, until: threading.Event | None = None) -> bool:
        self.now_seconds += seconds
        return bool(until and until.is_set())


@pytest.fixture
def entra(authority):
    """Microsoft Entra's token endpoint, by the test's CA."""
    with TokenServer(authority.server) as server:
        yield server


@pytest.fixture
def metadata():
    """The metadata service of a machine."""
    with TokenServer() as server:
        yield server


@pytest.fixture
def access(authority):
    """What lets requests in by a connection with this env, and this environment of the process."""

    def make(env=None, environ=None, **options) -> Access:
        connection = connection_with(env or {}, **options)
        login = AzureLogins(connection, environ or {}).current()
        network = Network(
            endpoint=login.endpoint,
            verify=str(authority.ca_bundle),
            stall_seconds=10.0,
            concurrency=4,
        )
        place = Place("c", "box", login.endpoint, "", login.source)
        return access_of(connection, login, environ or {}, network, place)

    return make


def connection_with(env: dict[str, str], **options) -> Connection:
    schema = Bucket("wasbs://box@acct.blob.core.windows.net")
    return Connection(name="c", kind="wasb", schema=schema, env=env, options=Options(**options))


def connection_to(entra: TokenServer) -> Connection:
    """As a service principal, which that server knows."""
    return connection_with({**PRINCIPAL, "AZURE_AUTHORITY_HOST": entra.url})


def token_of(access: Access) -> str:
    assert access.token is not None
    return access.token().token


def test_a_service_principal_proves_itself_by_its_secret(access, entra):
    """``AZURE_TENANT_ID``, ``AZURE_CLIENT_ID``, ``AZURE_CLIENT_SECRET``, at ``AZURE_AUTHORITY_HOST``."""
    found = token_of(access({**PRINCIPAL, "AZURE_AUTHORITY_HOST": entra.url}))
    (asked,) = entra.exchanges()
    assert [found] == entra.given
    assert f"/{TENANT}/oauth2/v2.0/token" == asked.path
    assert CLIENT_SECRET == asked.fields["client_secret"]


def test_a_workload_identity_proves_itself_by_the_pods_token(access, entra, tmp_path):
    """``AZURE_FEDERATED_TOKEN_FILE``, as the webhook of Azure Workload Identity sets it."""
    file = tmp_path / "token"
    file.write_text("header.payload.signature\n")
    environ = {
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": CLIENT,
        "AZURE_FEDERATED_TOKEN_FILE": str(file),
        "AZURE_AUTHORITY_HOST": f"{entra.url}/",
    }
    found = token_of(access(environ=environ))
    (asked,) = entra.exchanges()
    assert [found] == entra.given
    assert {
        "client_assertion": "header.payload.signature",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    } == {name: asked.fields[name] for name in ("client_assertion", "client_assertion_type")}


@pytest.mark.parametrize("client", [None, CLIENT])
def test_a_managed_identity_is_asked_for_at_the_metadata_service(
    access, metadata, monkeypatch, client
):
    """Managed identity, the machine's own or the one of ``AZURE_CLIENT_ID`` (a recorded exchange)."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata.url)
    found = token_of(access({"AZURE_CLIENT_ID": client} if client else {}))
    (asked,) = metadata.asked
    assert [found] == metadata.given
    assert client == asked.fields.get("client_id")


def test_a_managed_identity_of_app_service_is_asked_for_at_its_endpoint(
    access, metadata, monkeypatch
):
    """Managed identity where ``IDENTITY_ENDPOINT`` says so: App Service, Container Apps (a recorded exchange)."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{metadata.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
    assert [token_of(access())] == metadata.given


def test_another_login_in_the_environment_is_not_taken(
    access, entra, metadata, monkeypatch, tmp_path
):
    """A login is never put together from several sources, by whatever SDK."""
    ambient = {
        "AZURE_TENANT_ID": "99999999-2222-3333-4444-555555555555",
        "AZURE_CLIENT_ID": "99999999-7777-8888-9999-000000000000",
        "AZURE_CLIENT_SECRET": "another",
        "AZURE_AUTHORITY_HOST": "https://127.0.0.1:9",
        "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "not-there"),
        "AZURE_REGIONAL_AUTHORITY_NAME": "westeurope",
        "AZURE_USERNAME": "somebody",
        "AZURE_PASSWORD": "something",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "REQUESTS_CA_BUNDLE": str(tmp_path / "not-there"),
        "AZURE_POD_IDENTITY_AUTHORITY_HOST": metadata.url,
    }
    for name, value in ambient.items():
        monkeypatch.setenv(name, value)
    principal = access({**PRINCIPAL, "AZURE_AUTHORITY_HOST": entra.url})
    managed = access({"AZURE_CLIENT_ID": CLIENT})
    assert [token_of(principal)] == entra.given
    assert [token_of(managed)] == metadata.given
    assert {TENANT} == {asked.path.split("/")[1] for asked in entra.asked}


def test_the_authority_is_reached_through_the_proxy(access, entra, proxy_to, authority):
    """proxy: the usual HTTPS_PROXY, HTTP_PROXY, NO_PROXY, or options.proxy."""
    with TokenServer() as behind:
        behind.url = f"https://127.0.0.1:{behind.port}"
        proxy = proxy_to(f"http://127.0.0.1:{behind.port}", connect_tls=authority.server)
        env = {**PRINCIPAL, "AZURE_AUTHORITY_HOST": behind.url}
        token_of(access(env, {"HTTPS_PROXY": proxy.url}))
        token_of(access(env, proxy=proxy.url))
        assert 2 == len(behind.given)
    proxy.forget()
    straight = {**PRINCIPAL, "AZURE_AUTHORITY_HOST": entra.url}
    token_of(access(straight, {"HTTPS_PROXY": proxy.url, "NO_PROXY": "127.0.0.1"}))
    assert [] == proxy.seen()


def test_the_metadata_service_is_never_asked_through_a_proxy(access, metadata, monkeypatch):
    """It answers only who is on the same machine."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata.url)
    token_of(access({}, {"HTTP_PROXY": "http://127.0.0.1:9"}, proxy="http://127.0.0.1:9"))
    assert 1 == len(metadata.given)


def test_a_token_is_asked_for_once_by_many_threads(access, entra):
    """Cached until shortly before its end, under a lock."""
    found = access({**PRINCIPAL, "AZURE_AUTHORITY_HOST": entra.url})
    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(lambda _: token_of(found), range(32)))
    assert 1 == len(tokens) == len(entra.exchanges())


@pytest.fixture
def tokens(authority, entra):
    """Tokens of a principal by a clock that is told the time."""
    login = AzureLogins(connection_to(entra), {}).current()
    network = Network(
        endpoint=entra.url, verify=str(authority.ca_bundle), stall_seconds=10.0, concurrency=4
    )
    clock = WallClock(time.time())
    return Tokens(login, network, Place("c", "box", "", "", login.source), clock), clock


def test_a_token_is_renewed_before_its_end(tokens, entra):
    """A token is renewed five minutes before its end, and kept until then."""
    give, clock = tokens
    first = give()
    clock.now_seconds += 3600 - 400
    kept = give()
    clock.now_seconds += 200
    assert (first, True) == (kept, give() != first)
    assert 2 == len(entra.exchanges())


def test_nobody_waits_for_a_renewal_while_the_token_is_good(tokens, entra):
    """One thread renews it, the others go on with it; past its end they wait."""
    give, clock = tokens
    first = give()
    clock.now_seconds += 3600 - 200
    entra.may_answer.clear()
    entra.lasts_seconds = 36_000
    with ThreadPoolExecutor(2) as pool:
        renewing = pool.submit(give)
        entra.wait_until_asked(3)  # where to and for the first one; and again
        meanwhile = give()
        clock.now_seconds += 300
        waiting = pool.submit(give)
        entra.may_answer.set()
        renewed = renewing.result(30)
        assert (first, renewed) == (meanwhile, waiting.result(30))
    assert first != renewed


def test_a_renewal_that_fails_keeps_a_token_that_is_still_good(tokens, entra):
    """Who gives tokens may be away for a while; said once in a while, mended later."""
    stream = io.StringIO()
    log.configure("info", "json", stream)
    give, clock = tokens
    first = give()
    clock.now_seconds += 3600 - 200
    entra.replies = [Answer(503, {"error": "temporarily_unavailable"})]
    assert [first, first] == [give(), give()]
    clock.now_seconds += 31
    assert first != give()
    log.configure()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert ["credentials.kept"] == [line["event"] for line in lines]


def test_a_renewal_that_fails_after_the_end_is_an_error(tokens, entra):
    """A token past its end is never given."""
    give, clock = tokens
    give()
    clock.now_seconds += 3601
    entra.replies = [Answer(503, {"error": "temporarily_unavailable"})]
    with pytest.raises(TransientError):
        give()


@pytest.mark.parametrize(
    ("reply", "kind", "message", "hint"),
    [
        (refusal(7000215), CredentialsError, "(401 AADSTS7000215)", "AZURE_CLIENT_SECRET"),
        (refusal(7000222), CredentialsError, "(401 AADSTS7000222)", "expired"),
        (refusal(700016, status=400), CredentialsError, "(400 AADSTS700016)", "AZURE_CLIENT_ID"),
        (refusal(90002, status=400), CredentialsError, "(400 AADSTS90002)", "AZURE_TENANT_ID"),
        (refusal(1, status=400), CredentialsError, "(400 AADSTS1)", "AZURE_TENANT_ID"),
        (Answer(429, {"error": "slow"}), SlowDownError, "asks for fewer requests", ""),
        (Answer(503, "<html>"), TransientError, "failed to give a token (503)", ""),
        (Answer(200, "<html>"), ConfigurationError, "doesn't answer as", "AZURE_AUTHORITY_HOST"),
        (Answer(404, "<html>"), ConfigurationError, "doesn't answer as", "AZURE_AUTHORITY_HOST"),
    ],
)
@pytest.mark.parametrize("form", ["secret", "federated"])
def test_a_refusal_says_what_it_is(access, entra, tmp_path, form, reply, kind, message, hint):
    """Each with its class, its code and its mend, in one line."""
    file = tmp_path / "token"
    file.write_text("header.payload.signature")
    env = {**PRINCIPAL, "AZURE_AUTHORITY_HOST": entra.url}
    if form == "federated":
        del env["AZURE_CLIENT_SECRET"]
        env["AZURE_FEDERATED_TOKEN_FILE"] = str(file)
    entra.replies = [reply]
    with pytest.raises(LightermanError) as caught:
        token_of(access(env))
    assert kind is type(caught.value)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint
    assert "c" == caught.value.connection


@pytest.mark.parametrize("code", [70021, 700211, 700212, 700213])
def test_a_federated_token_that_does_not_fit_names_what_must(access, entra, tmp_path, code):
    """Issuer, subject and audience of the federated credential."""
    file = tmp_path / "token"
    file.write_text("header.payload.signature")
    env = {**PRINCIPAL, "AZURE_AUTHORITY_HOST": entra.url, "AZURE_FEDERATED_TOKEN_FILE": str(file)}
    del env["AZURE_CLIENT_SECRET"]
    entra.replies = [refusal(code, status=400)]
    with pytest.raises(CredentialsError) as caught:
        token_of(access(env))
    assert "system:serviceaccount:NAMESPACE:NAME" in caught.value.hint


def test_the_federated_token_is_read_again_for_each_exchange(access, entra, tmp_path):
    """The kubelet replaces it before its end."""
    file = tmp_path / "token"
    env = {**PRINCIPAL, "AZURE_AUTHORITY_HOST": entra.url, "AZURE_FEDERATED_TOKEN_FILE": str(file)}
    del env["AZURE_CLIENT_SECRET"]
    entra.lasts_seconds = 0
    give = access(env).token
    for content in ("old.old.old", "new.new.new"):
        file.write_text(content)
        give()
    assert ["old.old.old", "new.new.new"] == [
        asked.fields["client_assertion"] for asked in entra.exchanges()
    ]


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "isn't there"), ("\n", "is empty"), (b"\xff", "it is no text")]
)
def test_a_federated_token_that_is_not_there_is_said(access, entra, tmp_path, content, problem):
    """With the file, and what mounts it (77)."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    env = {**PRINCIPAL, "AZURE_AUTHORITY_HOST": entra.url, "AZURE_FEDERATED_TOKEN_FILE": str(file)}
    del env["AZURE_CLIENT_SECRET"]
    with pytest.raises(CredentialsError) as caught:
        token_of(access(env))
    assert str(file) in caught.value.message
    assert caught.value.message.endswith(problem)
    assert [] == entra.asked


@pytest.mark.parametrize(
    ("reply", "kind", "hint"),
    [
        (Answer(400, {"error": "invalid_request", "error_description": "Identity not found"}), NoCredentialsError, "managed identity"),
        (Answer(404, {"error": "not_found"}), TransientError, ""),
        (Answer(410, {"error": "gone"}), TransientError, ""),
        (Answer(429, {"error": "slow"}), SlowDownError, ""),
        (Answer(500, {"error": "unknown"}), TransientError, ""),
        (Answer(500, "<html>"), TransientError, ""),
    ],
)  # fmt: skip
def test_what_the_metadata_service_says_is_told(access, metadata, monkeypatch, reply, kind, hint):
    """404, 410, 429 and 5xx pass by themselves; that there is no such identity doesn't."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata.url)
    metadata.replies = [reply]
    with pytest.raises(LightermanError) as caught:
        token_of(access())
    assert kind is type(caught.value)
    assert metadata.url in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, "neither files nor environment hold any"),
        (
            {"AZURE_CLIENT_ID": CLIENT},
            "AZURE_CLIENT_ID (env of the connection) is all that is said",
        ),
    ],
)
def test_without_any_login_that_is_what_is_said(access, closed_port, monkeypatch, env, said):
    """No login said, and no managed identity here (77): with what may be given instead."""
    # The address of the service itself may answer, where tests run on Azure.
    monkeypatch.setattr("lighterman.stores.azure.tokens._METADATA_VARIABLES", ())
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://127.0.0.1:{closed_port}")
    with pytest.raises(CredentialsError) as caught:
        token_of(access(env))
    expected = f"connection 'c' has no credentials: {said}, and no managed identity answers here"
    assert expected == caught.value.message
    assert "options.anonymous" in caught.value.hint


def test_a_metadata_service_that_is_named_and_does_not_answer_is_transient(
    access, closed_port, monkeypatch
):
    """It was promised by the machine: it may still be starting."""
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"http://127.0.0.1:{closed_port}")
    with pytest.raises(TransientError, match=f"no answer from http://127.0.0.1:{closed_port}"):
        token_of(access())


def test_an_authority_that_does_not_answer_is_transient(access, closed_port):
    """Trouble that may pass by itself, with the name of who didn't answer."""
    url = f"https://127.0.0.1:{closed_port}"
    with pytest.raises(TransientError, match=f"no answer from {url}: it refuses the connection"):
        token_of(access({**PRINCIPAL, "AZURE_AUTHORITY_HOST": url}))


def test_an_authority_whose_certificate_is_not_trusted_is_said(entra):
    """ca_bundle holds for the authority too, and is what is missing without."""
    connection = connection_to(entra)
    login = AzureLogins(connection, {}).current()
    network = Network(endpoint=login.endpoint, stall_seconds=10.0, concurrency=4)
    place = Place("c", "box", login.endpoint, "", login.source)
    with pytest.raises(ConfigurationError, match=f"the certificate of {entra.url} isn't trusted"):
        token_of(access_of(connection, login, {}, network, place))


def test_no_secret_of_a_refused_login_is_seen(access, entra, capfd):
    """No credential ever reaches a log, a report, an error text or argv."""
    echo = f"AADSTS7000215: {CLIENT_SECRET} is wrong"
    entra.replies = [Answer(401, {"error": "invalid_client", "error_description": echo})]
    with pytest.raises(CredentialsError) as caught:
        token_of(access({**PRINCIPAL, "AZURE_AUTHORITY_HOST": entra.url}))
    seen = capfd.readouterr()
    assert ("", "") == (seen.out, seen.err)
    assert CLIENT_SECRET not in f"{caught.value!r} {caught.value.message} {caught.value.hint}"
