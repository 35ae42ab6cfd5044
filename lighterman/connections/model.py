"""
What a named place is: one shape, into which every catalog is read. Strict: a field that isn't here is
an error, never ignored. Names in the document are those of the contract (camelCase where it has them).
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from lighterman.connections.names import is_credential, is_credential_kwarg, login_in_url
from lighterman.secret import Secret

Kind: TypeAlias = Literal["s3", "gcs", "wasb", "volume_claim", "host_path"]


class Bucket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bucket with an optional prefix, as ``s3://bucket/prefix`` (or the cloud's own form)."""

    bucket: str


class VolumeClaim(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True
):
    """A persistent volume claim, mounted at ``mount_path`` in this container."""

    volume_claim: str
    mount_path: str
    read_only: bool = False


class HostPath(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True
):
    """A node's directory, mounted at ``mount_path`` in this container."""

    host_path: str
    mount_path: str
    read_only: bool = False


class Mount(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A secret or config map: its name, and where its files are mounted in this container, if they are."""

    name: str
    mount_path: str | None = None
    items: tuple[str, ...] | None = None
    default_mode: int | None = None


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    What none of the credentials says. ``None`` means: not said here.

    The three kwargs stay as the SDK takes them; values in them that are credentials by their name (and a
    proxy's password) are known as secrets from here on, so that no log or report shows them.
    """

    endpoint: str | None = None
    region: str | None = None
    addressing_style: Literal["path", "virtual", "auto"] = "auto"
    anonymous: bool = False
    ca_bundle: str | None = None
    proxy: str | None = None
    checksums: Literal["when_supported", "when_required"] | None = None
    storage_class: str | None = None
    kms_key: str | None = None
    acl: str | None = None
    tags: dict[str, str] | None = None
    requester_pays: bool = False
    client_kwargs: dict[str, object] = {}
    config_kwargs: dict[str, object] = {}
    s3_additional_kwargs: dict[str, object] = {}

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            _masked(name, getattr(self, name))

    def __repr__(self) -> str:
        shown = ((name, _masked(name, getattr(self, name))) for name in self.__struct_fields__)
        return f"Options({', '.join(f'{name}={value!r}' for name, value in shown)})"


def _masked(name: str, value: object) -> object:
    """``value`` as it may be shown. What is masked in it is known as a secret from then on."""
    if isinstance(value, Mapping):
        return {key: _masked(str(key), member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(name, member) for member in value]
    if not isinstance(value, str):
        return value
    if is_credential_kwarg(name):
        return str(Secret(value))
    if login := login_in_url(value):
        Secret(login.partition(":")[2])
        return value.replace(login, str(Secret(login)), 1)
    return value


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """
    One named place, whatever shape it was written in.

    ``env`` holds what the document set for this connection; credentials that it held in clear (ZenML's
    ``key``, ``secret``; an ``env`` entry with a credential's name) are masked from the moment they are read.
    """

    name: str
    kind: Kind
    schema: Bucket | VolumeClaim | HostPath
    secret: Mount | None = None
    config_map: Mount | None = None
    env: dict[str, str | Secret] = {}
    options: Options = Options()
    description: str | None = None
    tags: tuple[str, ...] = ()
    annotations: dict[str, str] = {}
    origin: str = ""
    """Where it was read: a file and place in it, a variable, or ``uri``. For error texts."""

    def __post_init__(self) -> None:
        if any(isinstance(value, str) and is_credential(name) for name, value in self.env.items()):
            masked = {
                name: Secret(value) if isinstance(value, str) and is_credential(name) else value
                for name, value in self.env.items()
            }
            msgspec.structs.force_setattr(self, "env", masked)
