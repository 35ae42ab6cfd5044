"""
What it means that Google gave out no token: the error's class, what is said, and how it is mended. Foreign
texts are looked at, never passed on.
"""

import re
from typing import Final, NamedTuple, TypeAlias

from lighterman.connections.gcs_login import GcsLogin
from lighterman.errors import CredentialsError, LightermanError
from lighterman.stores.failures import Place
from lighterman.stores.gcs.tokens import Answer

SKEW_SECONDS: Final = 60.0
"""From here on a clock that is off is worth a word; Google itself lets some minutes pass."""


class _Refusal(NamedTuple):
    """One kind: how it is told by code and text, what is said of it, how it is mended."""

    codes: frozenset[str]
    text: re.Pattern[str]
    said: str
    hint: str


def _refusal(codes: str, text: str, said: str, hint: str) -> _Refusal:
    return _Refusal(frozenset(codes.split()), re.compile(text, re.IGNORECASE), said, hint)


_TIMES: Final = r"short-lived|timeframe|\biat\b|\bexp\b|clock|skew|used too (early|late)"
_BY_KEY: Final = (
    _refusal(
        "invalid_grant invalid_request",
        _TIMES,
        "the times in the request are off: this machine's clock is wrong",
        "set the clock (NTP): Google takes no more than a few minutes of skew",
    ),
    _refusal(
        "invalid_grant",
        "signature",
        "its private key doesn't belong to the service account (any more)",
        "the key was deleted or replaced: create a new one and put it into the secret",
    ),
    _refusal(
        "invalid_grant",
        "account not found|not a valid email|account.*(deleted|disabled)",
        "there is no such service account (any more)",
        "check client_email, and that the account wasn't deleted or disabled",
    ),
    _refusal(
        "invalid_grant invalid_rapt",
        "expired or revoked|revoked|reauth|rapt",
        "its refresh token has expired or was revoked",
        "log in again (gcloud auth application-default login), or use a service account",
    ),
    _refusal(
        "invalid_client deleted_client disabled_client",
        "",
        "its client isn't known, was deleted, or its secret is wrong",
        "check client_id and client_secret, or log in again",
    ),
    _refusal(
        "invalid_scope",
        "",
        "its scopes aren't known",
        "correct GC_SCOPES or GOOGLE_SCOPES, or leave them out",
    ),
    _refusal(
        "unauthorized_client",
        "",
        "it may not have these scopes or stand for this account",
        "correct GC_SCOPES or GOOGLE_SCOPES; for a delegation, allow it in the domain's settings",
    ),
)
_FEDERATED: Final = (
    _refusal(
        "invalid_grant invalid_request",
        rf"expired|stale|{_TIMES}",
        "the token that it gives in exchange has expired, or this machine's clock is wrong",
        "have the token in credential_source renewed; set the clock (NTP)",
    ),
    _refusal(
        "invalid_grant invalid_target invalid_request",
        "audience|pool|provider|target",
        "its audience names no workload identity provider that takes this token",
        "check audience, the pool and its provider (gcloud iam workload-identity-pools)",
    ),
    _refusal(
        "unauthorized_client access_denied",
        "",
        "the provider's attribute condition refuses it",
        "check the attribute mapping and condition of the workload identity provider",
    ),
)
_IMPERSONATED: Final = _refusal(
    "PERMISSION_DENIED",
    "",
    "it may not impersonate the service account",
    "grant it roles/iam.serviceAccountTokenCreator on the service account (a federation:"
    " roles/iam.workloadIdentityUser), and enable the IAM Service Account Credentials API",
)
_UNUSABLE: Final = {
    "service_account": "its private_key is damaged, or no RSA key: take a new JSON key file",
    "external_account": "check credential_source: what it names must be there, and readable for this user",
    "": "check the pod's service account, and that a metadata server is meant to be here",
}


def refused(place: Place, login: GcsLogin, answer: Answer | None) -> LightermanError:
    """The error of a login for which no token came; ``answer`` is the last one, if any came."""
    who = f"the login from {place.login}"
    if login.account:
        who += f" ({login.account})"
    if answer is None:
        return _error(
            place,
            f"{who} can't be used to ask for a token",
            _UNUSABLE.get(login.key_type, "check what the credentials name"),
        )
    said = f"{answer.status} {answer.error}".strip()
    where = f"{who} was refused by {answer.origin} ({said})"
    if answer.status < 400:
        return _error(
            place,
            f"{who}: {answer.origin} answered without a token ({said})",
            "check token_uri or token_url of the credentials, and whether a proxy answers in its place",
        )
    if not login.key_type:
        return _error(place, *_of_metadata(where, answer.status))
    kinds = _FEDERATED + _BY_KEY if login.key_type.startswith("external") else _BY_KEY
    if answer.error.isupper() or answer.status == 403:
        kinds = (_IMPERSONATED, *kinds)
    for kind in kinds:
        if answer.error in kind.codes and kind.text.search(answer.description):
            return _error(place, f"{where}: {_with_skew(kind, answer)}", kind.hint)
    return _error(place, where, "check that the credentials are whole, and not disabled in IAM")


_Said: TypeAlias = tuple[str, str]


def _of_metadata(where: str, status: int) -> _Said:
    if status == 404:
        return (
            f"{where}: the pod or node has no service account",
            "give the node pool a service account, or the pod one with workload identity",
        )
    hint = (
        "let the Kubernetes service account act for Google's: roles/iam.workloadIdentityUser,"
        " and its annotation iam.gke.io/gcp-service-account"
    )
    return f"{where}: the pod's service account may not have a token", hint


def _with_skew(kind: _Refusal, answer: Answer) -> str:
    if "clock" not in kind.said or abs(answer.behind_seconds) < SKEW_SECONDS:
        return kind.said
    direction = "behind" if answer.behind_seconds > 0 else "ahead"
    return f"{kind.said} ({abs(answer.behind_seconds):.0f} s {direction})"


def _error(place: Place, message: str, hint: str) -> LightermanError:
    return CredentialsError(message, hint=place.with_mounts(hint), connection=place.connection)
