"""An access token over time: kept, renewed, replaced, and shown to nobody."""

import json
import os
import threading
from datetime import timedelta

import obstore
import pytest
from gcs_logins import is_token, listing
from obstore.store import GCSStore
from servers.faults import Answer, Call
from servers.gcs import ACCOUNT

from lighterman.connections.gcs_login import GcsLogins
from lighterman.connections.model import Bucket, Connection, Mount
from lighterman.errors import (
    TransientError,
)
from lighterman.secret import MASK, scrub
from lighterman.stores.gcs.login import EARLY_SECONDS, RETRY_SECONDS


def test_a_token_is_kept_until_it_is_near_its_end(log_in, key, endpoint, clock):
    """Renewed before its expiry, and asked for no oftener."""
    login = log_in(key)
    first = login.token()
    clock.now_seconds += 3600 - EARLY_SECONDS - 5
    assert first == login.token()
    clock.now_seconds += 10
    second = login.token()
    assert first != second
    assert second == login.token()
    assert 2 == len(endpoint.seen())


def test_a_token_of_a_short_life_is_kept_for_half_of_it(log_in, key, endpoint, clock):
    """A life shorter than the usual margin doesn't make each request ask first."""
    answer = json.dumps({"access_token": "short", "expires_in": 60, "token_type": "Bearer"})
    endpoint.on(is_token, Answer(200, answer.encode()), times=None)
    login = log_in(key)
    for _ in range(5):
        login.token()
        clock.now_seconds += 5
    assert 1 == len(endpoint.seen())
    clock.now_seconds += 10
    login.token()
    assert 2 == len(endpoint.seen())


def test_while_one_thread_renews_the_others_go_on(log_in, key, endpoint, clock):
    """Nobody waits for a token that is renewed early."""
    login = log_in(key)
    first = login.token()
    clock.now_seconds += 3600 - 100
    seen_meanwhile = []
    endpoint.on(is_token, Call(lambda _: seen_meanwhile.append(login.token())))
    second = login.token()
    assert [first] == seen_meanwhile
    assert first != second


def test_an_early_renewal_that_fails_costs_nothing(log_in, key, endpoint, clock):
    """While the old token is good, trouble of the endpoint is no trouble; it is asked again after a while."""
    login = log_in(key)
    first = login.token()
    endpoint.on(is_token, Answer(503), times=2)
    clock.now_seconds += 3600 - 100
    assert [first, first] == [login.token(), login.token()]
    clock.now_seconds += RETRY_SECONDS
    assert first == login.token()
    assert 3 == len(endpoint.seen())
    clock.now_seconds += RETRY_SECONDS
    assert first != login.token()


def test_a_token_that_ran_out_is_not_given_any_more(log_in, key, endpoint, clock):
    """After its end the endpoint's trouble is the caller's."""
    login = log_in(key)
    login.token()
    endpoint.on(is_token, Answer(503), times=None)
    clock.now_seconds += 3601
    with pytest.raises(TransientError):
        login.token()


def test_threads_that_start_together_ask_once(log_in, key, endpoint):
    """One request for a token, whoever needs it."""
    login = log_in(key)
    found: list[str | None] = []
    threads = [threading.Thread(target=lambda: found.append(login.token())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (16, 1) == (len(found), len(set(found)))
    assert 1 == len(endpoint.seen())


def test_a_refused_token_is_replaced(gcs, gcs_bucket, log_in, key):
    """A token that was revoked before its end: another one is got, once for all threads."""
    login = log_in(key)
    first = login.token()
    gcs.revoke_all(ACCOUNT)
    second = login.renewed(first)
    assert second not in (None, first)
    assert second == login.renewed(first) == login.token()
    assert [] == listing(gcs_bucket, second)


def test_there_may_be_no_other_token(log_in, key, endpoint):
    """Whoever gives out the same token again has no other: the refusal holds."""
    answer = json.dumps({"access_token": "the-same", "expires_in": 3600, "token_type": "Bearer"})
    endpoint.on(is_token, Answer(200, answer.encode()), times=None)
    login = log_in(key)
    assert login.renewed(str(login.token())) is None


def test_obstore_asks_for_the_token_of_each_request(gcs, gcs_bucket, log_in, key):
    """The same login is obstore's credential provider; what is renewed here counts there at once."""
    gcs_bucket.put("a", b"content")
    login = log_in(key)
    store = GCSStore(
        gcs_bucket.name,
        base_url=gcs_bucket.endpoint,
        credential_provider=login.credential,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=5)},
    )
    assert b"content" == bytes(obstore.get(store, "a").bytes())
    gcs.revoke_all(ACCOUNT)
    with pytest.raises(obstore.exceptions.UnauthenticatedError):
        obstore.get(store, "a")
    login.renewed(str(login.token()))
    assert b"content" == bytes(obstore.get(store, "a").bytes())


def test_no_token_is_shown_anywhere(log_in, key):
    """Tokens are secrets from the moment that they came."""
    login = log_in(key)
    token = login.token()
    assert MASK == scrub(str(token))
    assert str(token) not in repr(login) + repr(vars(login))


def test_a_rotated_secret_logs_in_anew(gcs, gcs_bucket, log_in, tmp_path):
    """A mounted key file that changes is another login, whose tokens are its own."""
    other = "other@tests.iam.gserviceaccount.com"
    gcs_bucket.grant("roles/storage.objectViewer", f"serviceAccount:{other}")
    for name, email in (("one", ACCOUNT), ("two", other)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key.json").write_text(json.dumps(gcs.service_account(email)))
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "key.json").symlink_to("..data/key.json")
    connection = Connection(
        name="mine",
        kind="gcs",
        schema=Bucket("gs://b"),
        secret=Mount(name="s", mount_path=str(tmp_path), items=("key.json",)),
    )
    logins = GcsLogins(connection, {})
    assert ACCOUNT == logins.current().account
    (tmp_path / "..new").symlink_to("two")
    os.replace(tmp_path / "..new", tmp_path / "..data")
    found = logins.refreshed()
    assert other == found.account
    token = log_in(None, env={"GC_KEYFILE_DICT": found.key_file}).token()
    assert [] == listing(gcs_bucket, token)
