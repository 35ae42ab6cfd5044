"""The GCS server of the tests: tokens, keys and roles."""

import time
from urllib.parse import quote

import pytest
from google.api_core.exceptions import (
    Forbidden,
)
from google.auth import exceptions as auth_exceptions
from google.auth import jwt
from google.auth.crypt import RSASigner
from google.auth.transport.requests import Request
from google.oauth2 import service_account
from servers.gcs import plain_client
from servers.gcs_face import AUDIENCE
from servers.wire import Answered, Wire


class TestAccess:
    def test_a_service_account_logs_in(self, gcs_bucket, gcs):
        """A key's signed JWT buys an access token, which opens the bucket."""
        credentials = service_account.Credentials.from_service_account_info(
            gcs.service_account(), scopes=["https://www.googleapis.com/auth/devstorage.read_write"]
        )
        credentials.refresh(Request())
        with plain_client(gcs.endpoint, credentials.token) as client:
            client.bucket(gcs_bucket.name).blob("a").upload_from_string(b"x")
        assert ["a"] == gcs_bucket.keys()

    def test_an_account_that_nobody_knows(self, gcs):
        """The key of an unknown account is refused."""
        key = gcs.service_account() | {"client_email": "nobody@tests.iam.gserviceaccount.com"}
        credentials = service_account.Credentials.from_service_account_info(key, scopes=["x"])
        with pytest.raises(auth_exceptions.RefreshError, match="account not found"):
            credentials.refresh(Request())

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"iat": -7200, "exp": -3600}, "reasonable timeframe"),
            ({"iat": 7200, "exp": 10_800}, "reasonable timeframe"),
            ({"aud": "https://example.com/token"}, "Failed audience check"),
        ],
    )
    def test_claims_that_are_wrong(self, gcs, wire, changed, message):
        """A JWT of another time or for somebody else is refused, and the answer says why."""
        now = time.time()
        changed = {key: v if key == "aud" else int(now + v) for key, v in changed.items()}
        answer = self.bought(wire, self.signed(gcs.service_account(), **changed))
        assert (400, "invalid_grant") == (answer.status, answer.json["error"])
        assert message in answer.json["error_description"]

    def test_a_signature_that_is_wrong(self, gcs, wire):
        """A JWT whose signature was changed is refused."""
        whole = self.signed(gcs.service_account())
        answer = self.bought(wire, whole[:-20] + whole[:20])
        assert (400, "invalid_grant") == (answer.status, answer.json["error"])

    @staticmethod
    def signed(key: dict[str, str], **changed: object) -> str:
        """A service account's JWT."""
        now = int(time.time())
        claims = {"iss": key["client_email"], "aud": AUDIENCE, "iat": now, "exp": now + 600}
        return jwt.encode(RSASigner.from_service_account_info(key), claims | changed).decode()

    @staticmethod
    def bought(wire: Wire, assertion: str) -> Answered:
        """What the token endpoint gives for it."""
        grant = quote("urn:ietf:params:oauth:grant-type:jwt-bearer")
        return wire.ask("POST", "/token", f"grant_type={grant}&assertion={assertion}".encode())

    def test_a_self_signed_jwt_is_a_token(self, gcs_bucket, gcs, wire):
        """What a known account signs itself opens the door too."""
        token = self.signed(gcs.service_account(), aud="https://storage.googleapis.com/")
        path = f"/{gcs_bucket.name}/a"
        assert 200 == wire.ask("PUT", path, b"x", Authorization=f"Bearer {token}").status

    def test_a_token_that_ended(self, gcs_bucket, gcs, wire):
        """An expired, revoked or unknown token is 401."""
        gcs.allow("short", lifetime_seconds=-1)
        gcs.allow("revoked")
        gcs.revoke("revoked")
        for token in ("short", "revoked", "unknown"):
            answer = wire.ask("GET", f"/{gcs_bucket.name}/a", Authorization=f"Bearer {token}")
            assert 401 == answer.status
            path = f"/storage/v1/b/{gcs_bucket.name}"
            answer = wire.ask("GET", path, Authorization=f"Bearer {token}")
            assert (401, "Invalid Credentials") == (answer.status, answer.json["error"]["message"])
            assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]

    def test_refresh_tokens(self, gcs, gcs_bucket, wire):
        """A user's refresh token, or a federated subject token, buys an access token."""
        gcs.accept_refresh("refresh-me")
        for grant, name in (
            ("refresh_token", "refresh_token"),
            ("urn:ietf:params:oauth:grant-type:token-exchange", "subject_token"),
        ):
            form = f"grant_type={quote(grant)}&{name}=refresh-me"
            answer = wire.ask("POST", "/token", form.encode())
            assert 200 == answer.status
            token = answer.json["access_token"]
            path = f"/{gcs_bucket.name}/a"
            assert 404 == wire.ask("GET", path, Authorization=f"Bearer {token}").status
        refused = wire.ask("POST", "/token", b"grant_type=refresh_token&refresh_token=other")
        assert 400 == refused.status

    def test_roles(self, gcs_bucket, gcs):
        """Who isn't the owner may do what a role of the bucket gives, and is told which permission lacks."""
        who = "viewer@tests.iam.gserviceaccount.com"
        gcs.service_account(who, owner=False)
        token = gcs.allow("viewer-token", who)
        gcs_bucket.put("a", b"x")
        with plain_client(gcs.endpoint, token) as client:
            bucket = client.bucket(gcs_bucket.name)
            with pytest.raises(Forbidden, match=r"does not have storage\.objects\.get access"):
                bucket.blob("a").reload()
            gcs_bucket.grant("roles/storage.objectViewer", f"serviceAccount:{who}")
            assert b"x" == bucket.blob("a").download_as_bytes()
            with pytest.raises(Forbidden, match=r"storage\.objects\.create"):
                bucket.blob("b").upload_from_string(b"x", retry=None)
            gcs_bucket.grant("roles/storage.objectCreator", f"serviceAccount:{who}")
            bucket.blob("b").upload_from_string(b"x", retry=None)
            with pytest.raises(Forbidden, match=r"storage\.objects\.delete"):
                bucket.blob("b").upload_from_string(b"again", retry=None)
            asked = ["storage.objects.create", "storage.objects.delete"]
            assert ["storage.objects.create"] == bucket.test_iam_permissions(asked)

    def test_without_login(self, gcs_bucket, wire):
        """Nobody in particular may do what the bucket lets everyone do; else it is 401."""
        gcs_bucket.put("a", b"x")
        path = f"/{gcs_bucket.name}/a"
        refused = wire.ask("GET", path, Authorization="")
        assert 401 == refused.status
        assert b"Anonymous caller does not have storage.objects.get access" in refused.body
        gcs_bucket.grant("roles/storage.objectViewer", "allUsers")
        assert b"x" == wire.ask("GET", path, Authorization="").body
        assert 401 == wire.ask("PUT", path, b"y", Authorization="").status

    def test_requesters_that_pay(self, gcs_bucket, gcs, wire):
        """Where requesters pay, who isn't the owner must name a project, in either API."""
        who = "payer@tests.iam.gserviceaccount.com"
        login = {"Authorization": f"Bearer {gcs.allow('payer-token', who)}"}
        gcs_bucket.grant("roles/storage.objectUser", f"serviceAccount:{who}")
        gcs_bucket.update(requester_pays=True)
        xml, json_path = f"/{gcs_bucket.name}/a", f"/storage/v1/b/{gcs_bucket.name}/o"
        refused = wire.ask("PUT", xml, b"x", **login)
        assert (400, True) == (refused.status, b"<Code>UserProjectMissing</Code>" in refused.body)
        assert 400 == wire.ask("GET", json_path, **login).status
        assert 200 == wire.ask("PUT", xml, b"x", x_goog_user_project="mine", **login).status
        assert 200 == wire.ask("GET", f"{json_path}?userProject=mine", **login).status
