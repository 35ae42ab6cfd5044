"""Manifests against Kubernetes' own schemas, as kubernetes-validate has them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from lighterman.errors import ConfigurationError, UsageError

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
    _check_known(library, checked)
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


def _check_known(library: Any, versions: Iterable[str]) -> None:
    known = {_numbers(version)[:2] for version in library.utils.all_versions()}
    for version in versions:
        if _numbers(version)[:2] not in known:
            first, last = (".".join(map(str, end)) for end in (min(known), max(known)))
            raise UsageError(
                f"--kubernetes {version}: kubernetes-validate has no schemas of it",
                hint=f"it has those from {first} to {last}",
            )


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
