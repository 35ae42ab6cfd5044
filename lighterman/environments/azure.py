"""
Azure: what the Azure CLI, azure-identity and adlfs read, and TensorFlow I/O's own names
(https://github.com/tensorflow/io/blob/master/tensorflow_io/core/filesystems/az/az_filesystem.cc).
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from lighterman.connections.azure_endpoint import endpoint_of
from lighterman.connections.azure_login import DEFAULT_AUTHORITY, AzureLogin, AzureLogins
from lighterman.connections.model import Connection
from lighterman.connections.names import AzureNames
from lighterman.environments.environment import Environment
from lighterman.secret import Secret

_CHAIN: Final = (
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "IDENTITY_SERVER_THUMBPRINT",
    "MSI_ENDPOINT",
    "MSI_SECRET",
    "IMDS_ENDPOINT",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
)
"""By what azure-identity finds a managed identity."""
_TENSORFLOW: Final = ("TF_AZURE_STORAGE_KEY", "TF_AZURE_STORAGE_SAS", "TF_AZURE_STORAGE_USE_HTTP")
_OTHERS: Final = (
    *AzureNames.CONNECTION_STRING,
    *AzureNames.ACCOUNT,
    *AzureNames.KEY,
    *AzureNames.SAS,
    *AzureNames.TENANT,
    *AzureNames.CLIENT,
    *AzureNames.CLIENT_SECRET,
    *AzureNames.TOKEN_FILE,
    *AzureNames.AUTHORITY,
    *_TENSORFLOW,
)


def add_azure(environment: Environment, connection: Connection, environ: Mapping[str, str]) -> None:
    """Add what a ``wasb`` connection needs."""
    login = AzureLogins(connection, environ).current()
    environment.add(login.account, "AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME")
    environment.add(
        login.account_key, "AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "TF_AZURE_STORAGE_KEY"
    )
    environment.add(login.sas_token, "AZURE_STORAGE_SAS_TOKEN", "TF_AZURE_STORAGE_SAS")
    environment.add(_connection_string(login), "AZURE_STORAGE_CONNECTION_STRING")
    if login.takes_tokens:
        _add_principal(environment, login, environ)
    if login.anonymous:
        environment.add("true", "AZURE_STORAGE_ANON")
    if login.endpoint.startswith("http://"):
        environment.add("1", "TF_AZURE_STORAGE_USE_HTTP")
    _say_endpoint(environment, login)
    if connection.options.ca_bundle:
        environment.add(connection.options.ca_bundle, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    environment.add_proxy(connection)
    environment.drop(environ, _OTHERS)


def _add_principal(environment: Environment, login: AzureLogin, environ: Mapping[str, str]) -> None:
    environment.add(login.tenant_id, "AZURE_TENANT_ID")
    environment.add(login.client_id, "AZURE_CLIENT_ID")
    environment.add(login.client_secret, "AZURE_CLIENT_SECRET")
    environment.add(login.federated_token_file, "AZURE_FEDERATED_TOKEN_FILE")
    if login.authority != DEFAULT_AUTHORITY:
        environment.add(login.authority, "AZURE_AUTHORITY_HOST")
    if not (login.client_secret or login.federated_token_file):
        environment.keep(environ, _CHAIN)
    environment.notes.append(
        "give the library DefaultAzureCredential(): it takes these variables; TensorFlow takes keys "
        "and SAS tokens only"
    )


def _connection_string(login: AzureLogin) -> Secret | None:
    """https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string"""
    if login.account_key:
        scheme = urlsplit(login.endpoint).scheme
        return Secret(
            f"DefaultEndpointsProtocol={scheme};AccountName={login.account};"
            f"AccountKey={login.account_key.reveal()};BlobEndpoint={login.endpoint}"
        )
    if login.sas_token:
        return Secret(
            f"BlobEndpoint={login.endpoint};SharedAccessSignature={login.sas_token.reveal()}"
        )
    return None


def _say_endpoint(environment: Environment, login: AzureLogin) -> None:
    if login.endpoint == endpoint_of(login.account):
        return
    if not (login.account_key or login.sas_token):
        environment.notes.append(f"no variable says the endpoint: account_url={login.endpoint!r}")
