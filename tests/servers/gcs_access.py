"""
Who may do what at the GCS server of the tests: tokens, service accounts, roles.

A token is one that the tests told the server, one that its token endpoint issued, or a JWT that a known
service account signed itself (https://google.aip.dev/auth/4111).
"""

import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from servers.gcs_objects import ApiError

ANYONE = "allUsers"
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
VIEW = frozenset({"storage.objects.get", "storage.objects.list"})
CREATE = frozenset({"storage.objects.create"})
USE = VIEW | CREATE | {"storage.objects.delete", "storage.objects.update"}
ROLES: Mapping[str, frozenset[str]] = {
    "roles/storage.objectViewer": VIEW,
    "roles/storage.objectCreator": CREATE,
    "roles/storage.objectUser": USE,
    "roles/storage.objectAdmin": USE,
    "projects/tests/roles/lightermanWriter": VIEW | CREATE | {"storage.objects.delete"},
    "roles/storage.legacyBucketReader": frozenset({"storage.buckets.get", "storage.objects.list"}),
}
"""https://cloud.google.com/storage/docs/access-control/iam-roles, as far as the tests tell them apart; and one of docs/clouds/google.md."""


class _Token(NamedTuple):
    who: str
    ends_seconds: float


class Access:
    """What is known of tokens and accounts. Owners may do everything."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[str, _Token] = {}
        self._keys: dict[str, str] = {}
        self._owners: set[str] = set()
        self._refresh_tokens: dict[str, str] = {}
        self.lifetime_seconds = 3600.0
        """Of tokens from the token endpoint."""

    def allow(self, token: str, who: str, lifetime_seconds: float = 86_400.0) -> None:
        """Take this token for that account, so long."""
        with self._lock:
            self._tokens[token] = _Token(who, time.time() + lifetime_seconds)

    def revoke(self, token: str) -> None:
        with self._lock:
            self._tokens.pop(token, None)

    def revoke_all(self, who: str) -> None:
        """Every token of one account ends now, as when its key is disabled."""
        with self._lock:
            self._tokens = {key: each for key, each in self._tokens.items() if each.who != who}

    def know(self, who: str, public_key: str, *, owner: bool) -> None:
        """Take what this account signs; an owner may do everything in every bucket."""
        with self._lock:
            self._keys[who] = public_key
            if owner:
                self._owners.add(who)

    def forget(self, who: str) -> None:
        with self._lock:
            self._keys.pop(who, None)

    def accept_refresh(self, refresh_token: str, who: str) -> None:
        """Take this refresh token (or subject token of a federation) for that account."""
        with self._lock:
            self._refresh_tokens[refresh_token] = who

    def issue(self, who: str) -> dict[str, Any]:
        """A new access token, as the token endpoint answers it."""
        token = f"ya29.{secrets.token_urlsafe(32)}"
        self.allow(token, who, self.lifetime_seconds)
        return {
            "access_token": token,
            "expires_in": int(self.lifetime_seconds),
            "token_type": "Bearer",
        }

    def grant(self, form: Mapping[str, str], audience: str) -> dict[str, Any]:
        """
        The token endpoint: a service account's signed JWT, a user's refresh token or a federated subject
        token for an access token (https://developers.google.com/identity/protocols/oauth2/service-account,
        https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token).
        """
        kind = form.get("grant_type")
        if kind == JWT_GRANT:
            return self.issue(self._signer(form.get("assertion", ""), audience))
        given = form.get("refresh_token" if kind == "refresh_token" else "subject_token", "")
        who = self._refresh_tokens.get(given)
        if kind not in {"refresh_token", EXCHANGE_GRANT} or who is None:
            raise GrantError("invalid_grant", "Bad Request")
        answer = self.issue(who)
        if kind == EXCHANGE_GRANT:
            answer["issued_token_type"] = "urn:ietf:params:oauth:token-type:access_token"
        return answer

    def who(self, authorization: str | None) -> str | None:
        """The account of a request, ``None`` without any; 401 for a token that isn't valid."""
        if not authorization:
            return None
        kind, _, token = authorization.partition(" ")
        found = self._tokens.get(token)
        if kind == "Bearer" and found and found.ends_seconds > time.time():
            return found.who
        if kind == "Bearer" and token.count(".") == 2:
            try:
                return self._signer(token, None)
            except GrantError:
                pass  # answered as every other bad token
        raise ApiError(
            401,
            "authError",
            "AuthenticationRequired",
            "Invalid Credentials",
            WWW_Authenticate='Bearer realm="https://accounts.google.com/", error="invalid_token"',
        )

    def demand(
        self, who: str | None, permission: str, policy: Iterable[Mapping[str, Any]], where: str
    ) -> None:
        """403 without the permission, 401 where nobody even said who they are."""
        if who in self._owners:
            return
        members = {ANYONE, "allAuthenticatedUsers", f"serviceAccount:{who}"} if who else {ANYONE}
        for binding in policy:
            if members & set(binding["members"]) and permission in ROLES[binding["role"]]:
                return
        text = (
            f"{who or 'Anonymous caller'} does not have {permission} access to the Google Cloud Storage"
            f" {where}. Permission '{permission}' denied on resource (or it may not exist)."
        )
        if who is None:
            raise ApiError(
                401,
                "required",
                "AuthenticationRequired",
                text,
                WWW_Authenticate='Bearer realm="https://accounts.google.com/"',
            )
        raise ApiError(403, "forbidden", "AccessDenied", "Access denied.", text)

    def demand_payer(self, who: str | None, payer: str | None, fields: Mapping[str, Any]) -> None:
        """
        400 where the bucket's requesters pay and nobody is named who does (docs/requester-pays). Owners of the
        bucket's own project needn't name one.
        """
        requester_pays = (fields.get("billing") or {}).get("requesterPays")
        if requester_pays and not payer and who not in self._owners:
            raise ApiError(
                400,
                "required",
                "UserProjectMissing",
                "Bucket is a requester pays bucket but no user project provided.",
            )

    def _signer(self, assertion: str, audience: str | None) -> str:
        """Who signed a JWT, its signature, audience and times being right."""
        from google.auth import exceptions, jwt  # late: only some tests log in by key

        try:
            claims = jwt.decode(assertion, verify=False)
            who = str(claims.get("iss"))
            key = self._keys.get(who)
            if key is None:
                raise GrantError("invalid_grant", "Invalid grant: account not found")
            jwt.decode(assertion, certs=key)
        except (ValueError, exceptions.GoogleAuthError) as error:
            reason = str(error).lower()
            if "expired" in reason or "early" in reason or "future" in reason:
                raise GrantError(
                    "invalid_grant",
                    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable"
                    " timeframe. Check your iat and exp values in the JWT claim.",
                ) from error
            raise GrantError("invalid_grant", "Invalid JWT Signature.") from error
        if audience is not None and claims.get("aud") != audience:
            raise GrantError("invalid_grant", "Invalid JWT: Failed audience check.")
        return who


class GrantError(Exception):
    """The token endpoint's refusal, 400 (RFC 6749, 5.2)."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.answer = {"error": error, "error_description": description}
