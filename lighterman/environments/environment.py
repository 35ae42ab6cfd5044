"""A connection's environment: its variables, and what no variable can say."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from lighterman.connections.model import Bucket, Connection
from lighterman.connections.names import login_in_url
from lighterman.errors import ConfigurationError
from lighterman.secret import Secret
from lighterman.transfer.settings import TransferSettings


@dataclass
class Environment:
    """Made step by step by the module of one kind."""

    variables: dict[str, str | Secret] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What the connection says and no variable can: a library has to be told otherwise."""
    unset: list[str] = field(default_factory=list)
    """Variables of the present environment that would be taken for a part of this login."""

    def add(self, value: str | Secret | None, *names: str) -> None:
        """Give each of these variables the value, if there is one."""
        if value:
            self.variables |= dict.fromkeys(names, value)

    def keep(self, environ: Mapping[str, str], names: Collection[str]) -> None:
        """Pass on what the SDK's own chain goes by."""
        self.variables |= {name: environ[name] for name in names if environ.get(name)}

    def drop(self, environ: Mapping[str, str], names: Collection[str]) -> None:
        """Have unset what stands in the present environment and isn't part of this one."""
        self.unset += sorted(
            name for name in names if name in environ and name not in self.variables
        )

    def add_proxy(self, connection: Connection) -> None:
        """The connection's own proxy; that of the environment is there already."""
        proxy = connection.options.proxy
        if proxy:
            proxy = proxy if "://" in proxy else f"http://{proxy}"
            value = Secret(proxy) if login_in_url(proxy) else proxy
            self.add(value, "HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy")
            self.notes.append("the proxy holds for every program that is started with this")


def environment_of(
    connection: Connection,
    environ: Mapping[str, str],
    settings: TransferSettings,
    *,
    resolve: bool = False,
    key_file: str | None = None,
) -> Environment:
    """
    The environment of a connection. ``resolve`` exchanges a role for the keys of the moment, ``key_file`` is
    where a key is written that only a file can hold. ``CredentialsError``, ``ConfigurationError``.
    """
    environment = Environment()
    kind = connection.kind
    if key_file and kind != "gcs":
        raise ConfigurationError(
            f"--write-key is for connections of kind gcs, and {connection.name!r} is {kind}",
            hint="take it away: nothing of this login wants a file",
            connection=connection.name,
        )
    if kind == "s3":
        from lighterman.environments.s3 import add_s3

        add_s3(environment, connection, environ, settings, resolve=resolve)
    elif kind == "gcs":
        from lighterman.environments.gcs import add_gcs

        add_gcs(environment, connection, environ, key_file=key_file)
    elif kind == "wasb":
        from lighterman.environments.azure import add_azure

        add_azure(environment, connection, environ)
    if resolve and kind != "s3":
        environment.notes.append(
            "--resolve is for the roles of S3: libraries log in here themselves"
        )
    if not isinstance(connection.schema, Bucket):
        said = f"a volume needs no environment: its files are at {connection.schema.mount_path}"
        environment.notes.append(said)
    return environment
