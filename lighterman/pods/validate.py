"""Manifests against Kubernetes' own schemas, as kubernetes-validate has them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from lighterman.errors import ConfigurationError

OLDEST: Final = (1, 29)
"""The first Kubernetes whose native sidecars are on by default."""


def known_versions() -> list[str]:
    """The versions of Kubernetes from ``OLDEST`` on whose schemas are here, the newest last."""
    versions = {_numbers(version)[:2] for version in _library().utils.all_versions()}
    return [f"{major}.{minor}" for major, minor in sorted(versions) if (major, minor) >= OLDEST]


def validate(
    documents: Iterable[Mapping[str, Any]], versions: Iterable[str] | None = None
) -> list[str]:
    """
    Check each document against each version, or all that are known; gives the versions. ``ConfigurationError`` names what
    the first of them doesn't take.
    """
    library = _library()
    checked = list(known_versions() if versions is None else versions)
    for version in checked:
        for document in documents:
            try:
                library.validate(dict(document), version, strict=True)
            except library.ValidationError as error:
                place = ".".join(str(step) for step in error.path)
                raise ConfigurationError(
                    f"Kubernetes {version} takes no such {document['kind']}: {place or 'its top'}: "
                    f"{error.message}",
                    hint="mend it in the job spec; what stands there is passed on as it is",
                ) from error
    return checked


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _library() -> Any:
    try:
        import kubernetes_validate
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "--validate needs kubernetes-validate, which isn't installed",
            hint="pip install 'lighterman[validate]'",
        ) from error
    return kubernetes_validate
