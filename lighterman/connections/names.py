"""Names under which logins are known: in environments, mounted files, and boto3's client arguments."""

import re
from typing import Final

_CREDENTIAL: Final = re.compile(
    r"(?:^|[_.-])(?:"
    r"ACCESS_KEY(?:_ID)?|SECRET(?:_ACCESS)?(?:_KEY)?|SESSION_TOKEN|SECURITY_TOKEN|CLIENT_SECRET|"
    r"(?:STORAGE|ACCOUNT|API|PRIVATE|ENCRYPTION)_KEY|SAS(?:_TOKEN)?|(?:STORAGE_)?CONNECTION_STRING|"
    r"KEYFILE_DICT|PASSWORD|PASSWD|TOKEN|CREDENTIALS?_JSON|AUTHORIZATION"
    r")$"
)
_KWARG: Final = re.compile(
    r"(?:secret|password|token|authorization|customerkey|access_key_id)", re.IGNORECASE
)
_NO_SECRET: Final = re.compile(r"(?:file|path|md5|algorithm|url|uri|endpoint)$", re.IGNORECASE)
_USERINFO: Final = re.compile(r"[a-z][a-z0-9+.-]*://([^\s/?#]*)@", re.IGNORECASE)

LOGIN_CLIENT_KWARGS: Final = frozenset(
    {
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "endpoint_url",
        "region_name",
        "use_ssl",
        "verify",
    }
)
"""Those of boto3's client arguments that are the login: ``S3Logins`` reads them, a store must not."""


def is_credential(name: str) -> bool:
    """True for the name of a variable whose value must not be seen."""
    return _CREDENTIAL.search(name.upper()) is not None


def is_credential_kwarg(name: str) -> bool:
    """True for the name of an SDK's argument (``SSECustomerKey``) whose value must not be seen."""
    return _KWARG.search(name) is not None and _NO_SECRET.search(name) is None


def login_in_url(text: str) -> str:
    """The ``user:password`` of a URL that has one (a proxy's), else ``""``."""
    match = _USERINFO.match(text)
    return match[1] if match else ""


class S3Names:
    """The contract's names of S3's keys, each with its aliases in the order in which they count."""

    ID: Final = ("AWS_ACCESS_KEY_ID",)
    SECRET: Final = ("AWS_SECRET_ACCESS_KEY",)
    TOKEN: Final = ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
    ROLE: Final = ("AWS_ROLE_ARN", "AWS_ASSUME_ROLE")
    ROLE_SESSION: Final = ("AWS_SESSION_NAME", "AWS_ROLE_SESSION_NAME")
    ROLE_SECONDS: Final = ("AWS_SESSION_DURATION",)
    WEB_IDENTITY: Final = ("AWS_WEB_IDENTITY_TOKEN_FILE",)
    PROFILE: Final = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
    STS_ENDPOINT: Final = ("AWS_STS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS")
    # S3_…: KServe's; they are looked at last, as the plainest word on the matter.
    REGION: Final = ("AWS_REGION", "AWS_DEFAULT_REGION", "S3_REGION")
    ENDPOINT: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "S3_ENDPOINT")
    USE_SSL: Final = ("AWS_USE_SSL", "S3_USE_HTTPS")
    VERIFY_SSL: Final = ("AWS_VERIFY_SSL", "S3_VERIFY_SSL")
    CA_BUNDLE: Final = ("AWS_CA_BUNDLE",)
    # KServe's, spelled as its controller spells them.
    ANONYMOUS: Final = ("awsAnonymousCredential",)
    VIRTUAL: Final = ("S3_USER_VIRTUAL_BUCKET",)


class GcsNames:
    """The contract's names of GCS's keys, each with its aliases in the order in which they count."""

    CREDENTIALS_FILE: Final = ("GOOGLE_APPLICATION_CREDENTIALS",)
    KEY_PATH: Final = ("GC_KEY_PATH", "GOOGLE_KEY_PATH")
    KEYFILE_DICT: Final = ("GC_KEYFILE_DICT", "GOOGLE_KEYFILE_DICT")
    # The one key of ZenML's secret for GCP, with the key file's text; any other token is none of ours.
    ZENML: Final = ("TOKEN",)
    # …_PROJECT_ID: Polyaxon's; the last two are Google's own.
    PROJECT: Final = (
        "GC_PROJECT",
        "GOOGLE_PROJECT",
        "GC_PROJECT_ID",
        "GOOGLE_PROJECT_ID",
        "GOOGLE_CLOUD_PROJECT",
        "GCLOUD_PROJECT",
    )
    SCOPES: Final = ("GC_SCOPES", "GOOGLE_SCOPES")
    EMULATOR: Final = ("STORAGE_EMULATOR_HOST",)
    CA_BUNDLE: Final = ("REQUESTS_CA_BUNDLE",)


class AzureNames:
    """The contract's names of Azure's keys, each with its aliases in the order in which they count."""

    CONNECTION_STRING: Final = ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_CONNECTION_STRING")
    # AZURE_STORAGE_ACCOUNT_NAME, …_ACCOUNT_KEY and those of the principal with STORAGE in them: adlfs's, which
    # ZenML stands on; …_ACCESS_KEY and AZ_…: KServe's.
    ACCOUNT: Final = ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_ACCOUNT_NAME")
    KEY: Final = (
        "AZURE_STORAGE_KEY",
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
    )
    SAS: Final = ("AZURE_STORAGE_SAS_TOKEN", "AZURE_SAS_TOKEN")
    TENANT: Final = ("AZURE_TENANT_ID", "AZURE_STORAGE_TENANT_ID", "AZ_TENANT_ID")
    CLIENT: Final = ("AZURE_CLIENT_ID", "AZURE_STORAGE_CLIENT_ID", "AZ_CLIENT_ID")
    CLIENT_SECRET: Final = (
        "AZURE_CLIENT_SECRET",
        "AZURE_STORAGE_CLIENT_SECRET",
        "AZ_CLIENT_SECRET",
    )
    TOKEN_FILE: Final = ("AZURE_FEDERATED_TOKEN_FILE",)
    AUTHORITY: Final = ("AZURE_AUTHORITY_HOST",)


ZENML_AZURE_NAMES: Final = {
    "CONNECTION_STRING": "AZURE_STORAGE_CONNECTION_STRING",
    "ACCOUNT_NAME": "AZURE_STORAGE_ACCOUNT_NAME",
    "ACCOUNT_KEY": "AZURE_STORAGE_ACCOUNT_KEY",
    "SAS_TOKEN": "AZURE_STORAGE_SAS_TOKEN",
    "TENANT_ID": "AZURE_STORAGE_TENANT_ID",
    "CLIENT_ID": "AZURE_STORAGE_CLIENT_ID",
    "CLIENT_SECRET": "AZURE_STORAGE_CLIENT_SECRET",
}
"""
What ZenML's secret for Azure names its values (``AzureSecretSchema``), and what they are called elsewhere. So plain,
they are looked for in mounted files only; its older secrets have them without the underscore.
"""


def _all_of(names: type) -> frozenset[str]:
    return frozenset(
        name
        for aliases in vars(names).values()
        if isinstance(aliases, tuple)
        for name in aliases
        if isinstance(name, str)
    )


S3_NAMES: Final = _all_of(S3Names)
"""All of them: what is looked for in mounted files."""
GCS_NAMES: Final = _all_of(GcsNames)
"""The same for GCS; its key file is found by what it holds."""
AZURE_NAMES: Final = _all_of(AzureNames)
"""The same for Azure, without ZenML's plain ones."""
AZURE_FILE_NAMES: Final = AZURE_NAMES.union(
    ZENML_AZURE_NAMES, (name.replace("_", "") for name in ZENML_AZURE_NAMES)
)
"""All that are looked for in files that are mounted for Azure."""
