"""What a container of Polyaxon's finds in its environment: which run it is of, and where its files are."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from lighterman.errors import ConfigurationError

CONTEXT_ROOT: Final = "/plx-context"
RUN_VARIABLE: Final = "POLYAXON_RUN_INSTANCE"
STORE_VARIABLE: Final = "POLYAXON_ARTIFACTS_STORE_NAME"
POD_VARIABLE: Final = "POLYAXON_K8S_POD_ID"
NAMESPACE_VARIABLE: Final = "POLYAXON_K8S_NAMESPACE"
ROOT_VARIABLE: Final = "POLYAXON_CONTEXT_ROOT"
_RUN_PARTS: Final = 4


class Run(NamedTuple):
    """One run, as its sidecar knows it."""

    uuid: str
    """Of the run: what its outputs are called in the store, and on the volume."""
    store: str
    """The connection that the run's artifacts go to."""
    path: str
    """What is synced: the run's own directory of the volume."""
    pod: str
    namespace: str
    """``""``: the service account's."""


def artifacts_root(environ: Mapping[str, str]) -> str:
    """Where Polyaxon mounts the volume of all that comes and goes."""
    return f"{environ.get(ROOT_VARIABLE) or CONTEXT_ROOT}/artifacts"


def run_of(environ: Mapping[str, str]) -> Run:
    """The run of this container. ``ConfigurationError`` names the variable that is missing or malformed."""
    parts = _said(environ, RUN_VARIABLE).split(".")
    if len(parts) != _RUN_PARTS or not parts[-1] or "/" in parts[-1]:
        raise ConfigurationError(
            f"${RUN_VARIABLE} is no run", hint="Polyaxon writes it as OWNER.PROJECT.runs.UUID"
        )
    uuid = parts[-1]
    return Run(
        uuid=uuid,
        store=_said(environ, STORE_VARIABLE),
        path=f"{artifacts_root(environ)}/{uuid}",
        pod=_said(environ, POD_VARIABLE),
        namespace=environ.get(NAMESPACE_VARIABLE, ""),
    )


def _said(environ: Mapping[str, str], variable: str) -> str:
    value = environ.get(variable, "")
    if not value:
        raise ConfigurationError(
            f"${variable} isn't set",
            hint="Polyaxon sets it in its sidecar; for a pod of your own leave --container-id out",
        )
    return value
