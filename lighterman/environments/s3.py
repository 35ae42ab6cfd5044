"""
S3: what botocore and the other AWS SDKs read
(https://docs.aws.amazon.com/sdkref/latest/guide/environment-variables.html), and TensorFlow's own names
(https://github.com/tensorflow/tensorflow/blob/v2.6.0/tensorflow/core/platform/s3/s3_file_system.cc).
"""

from collections.abc import Mapping
from typing import Final

from lighterman.connections.credentials import S3Login, S3Logins
from lighterman.connections.model import Connection
from lighterman.connections.names import S3Names
from lighterman.environments.environment import Environment
from lighterman.secret import Secret
from lighterman.stores.s3.configuration import S3Settings, configured
from lighterman.transfer.settings import TransferSettings

_CHAIN: Final = (
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_DISABLED",
)
"""By what botocore's chain finds its files and endpoints."""
_OTHERS: Final = (
    *S3Names.ID,
    *S3Names.SECRET,
    *S3Names.TOKEN,
    *S3Names.ROLE,
    *S3Names.WEB_IDENTITY,
    *S3Names.PROFILE,
    *S3Names.ENDPOINT,
    *S3Names.USE_SSL,
    *S3Names.VERIFY_SSL,
)


def add_s3(
    environment: Environment,
    connection: Connection,
    environ: Mapping[str, str],
    settings: TransferSettings,
    *,
    resolve: bool,
) -> None:
    """Add what an ``s3`` connection needs."""
    login = S3Logins(connection, environ).current()
    found = _settings(connection, login, environ, settings)
    exchanged = (
        bool(login.role_arn or login.web_identity_token_file or login.profile)
        or not login.access_key_id
    )
    if login.anonymous:
        environment.notes.append(
            "no variable says that requests are unsigned: use signature_version=UNSIGNED (botocore), "
            "anon=True (s3fs), --no-sign-request (aws)"
        )
    elif resolve and exchanged:
        _add_resolved(environment, login, found)
    else:
        _add_login(environment, login, environ)
    _add_place(environment, login, found, is_exchanged=exchanged and not resolve)
    _add_tensorflow(environment, found)
    _say_unsayable(environment, connection, found)
    environment.add_proxy(connection)
    environment.drop(environ, _OTHERS)


def _settings(
    connection: Connection, login: S3Login, environ: Mapping[str, str], settings: TransferSettings
) -> S3Settings:
    from lighterman.stores.s3.login import region_of

    return configured(
        connection,
        login,
        environ,
        region=region_of(login),
        stall_seconds=settings.stall_seconds,
        concurrency=1,
    )


def _add_resolved(environment: Environment, login: S3Login, settings: S3Settings) -> None:
    from lighterman.stores.s3.login import login_of

    keys = login_of(login, settings).keys()
    if keys is None:
        return
    environment.add(Secret(keys.access_key), "AWS_ACCESS_KEY_ID")
    environment.add(Secret(keys.secret_key), "AWS_SECRET_ACCESS_KEY")
    if keys.token:
        environment.add(Secret(keys.token), "AWS_SESSION_TOKEN")
        environment.notes.append("these keys expire: nothing renews them")


def _add_login(environment: Environment, login: S3Login, environ: Mapping[str, str]) -> None:
    environment.add(login.access_key_id, "AWS_ACCESS_KEY_ID")
    environment.add(login.secret_access_key, "AWS_SECRET_ACCESS_KEY")
    environment.add(login.session_token, "AWS_SESSION_TOKEN")
    environment.add(login.profile, "AWS_PROFILE")
    environment.add(login.web_identity_token_file, "AWS_WEB_IDENTITY_TOKEN_FILE")
    environment.add(login.role_arn, "AWS_ROLE_ARN")
    if login.role_arn:
        environment.add(login.role_session_name, "AWS_ROLE_SESSION_NAME")
    environment.add(login.sts_endpoint, "AWS_ENDPOINT_URL_STS")
    if login.role_arn and not login.web_identity_token_file:
        environment.notes.append(
            f"libraries don't assume {login.role_arn} by a variable: they would go on with the keys "
            "that may assume it; --resolve prints keys of the role"
        )
    if not login.access_key_id:
        environment.keep(environ, _CHAIN)


def _add_place(
    environment: Environment, login: S3Login, settings: S3Settings, *, is_exchanged: bool
) -> None:
    if login.region or settings.custom_endpoint:
        environment.add(settings.region, "AWS_REGION", "AWS_DEFAULT_REGION")
    if settings.custom_endpoint:
        environment.add(settings.endpoint, "AWS_ENDPOINT_URL_S3")
        if not is_exchanged:  # it holds for STS too, which is elsewhere
            environment.add(settings.endpoint, "AWS_ENDPOINT_URL")
    if isinstance(settings.network.verify, str):
        environment.add(settings.network.verify, "AWS_CA_BUNDLE", "S3_CA_FILE")
    if settings.checksums == "when_required":
        environment.add(
            settings.checksums,
            "AWS_REQUEST_CHECKSUM_CALCULATION",
            "AWS_RESPONSE_CHECKSUM_VALIDATION",
        )


def _add_tensorflow(environment: Environment, settings: S3Settings) -> None:
    if settings.custom_endpoint:
        scheme, _, host = settings.endpoint.partition("://")
        environment.add(host, "S3_ENDPOINT")
        environment.add("1" if scheme == "https" else "0", "S3_USE_HTTPS")
    environment.add("0" if settings.network.verify is False else "1", "S3_VERIFY_SSL")


def _say_unsayable(environment: Environment, connection: Connection, settings: S3Settings) -> None:
    options = connection.options
    if settings.network.verify is False:
        environment.notes.append(
            "no variable turns off the check of certificates but for TensorFlow: verify=False (botocore)"
        )
    if settings.virtual and settings.custom_endpoint:
        environment.notes.append("no variable says addressing_style: virtual")
    if options.requester_pays:
        environment.notes.append("no variable says requester_pays: RequestPayer='requester'")
    if options.client_kwargs or options.config_kwargs or options.s3_additional_kwargs:
        environment.notes.append(
            "client_kwargs, config_kwargs and s3_additional_kwargs are for the library's own calls"
        )
