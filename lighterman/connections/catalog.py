"""Where connections are found by their names: the catalog, from the first place that has one."""

from collections.abc import Callable, Mapping
from typing import Final

from lighterman.connections.model import Connection
from lighterman.connections.uri import connection_of, is_uri
from lighterman.document import parse_document, read_document
from lighterman.errors import ConfigurationError

VARIABLE: Final = "LIGHTERMAN_CATALOG"
POLYAXON_VARIABLE: Final = "POLYAXON_CONNECTIONS_CATALOG"
DEFAULT_PATH: Final = "/etc/lighterman/connections.yaml"


class Catalog:
    """The connections that have names, read when the first name needs it. A URI reads nothing."""

    def __init__(
        self, flag: str | None, environ: Mapping[str, str], default_path: str = DEFAULT_PATH
    ) -> None:
        self._environ = environ
        # The flag's own default is its variable, which may hold the document itself.
        self._flag = None if flag == environ.get(VARIABLE) else flag
        self._default_path = default_path
        self._read: dict[str, object] | None = None
        self._found_at = ""

    def get(self, name: str) -> Connection:
        """
        The connection of that name, or the one that the URI is. ``ConfigurationError`` if the catalog
        is off, has no such connection, or has one that holds no files.
        """
        if is_uri(name):
            return connection_of(name)
        catalog = self._entries()
        found = catalog.get(name)
        if isinstance(found, Connection):
            return found
        if found is not None:
            raise ConfigurationError(
                f"the connection {name!r} holds no files: {found}",
                hint="name a connection of kind s3, gcs, wasb, volume_claim or host_path",
                connection=name,
            )
        raise self._unknown(name, list(catalog))

    def names(self) -> list[str]:
        """
        The names of the connections that hold files, in their order; none where there is no catalog.
        ``ConfigurationError`` if the catalog is off.
        """
        return [name for name, entry in self._entries().items() if isinstance(entry, Connection)]

    def _entries(self) -> dict[str, object]:
        if self._read is None:
            self._read = self._load()
        return self._read

    def _unknown(self, name: str, names: list[str]) -> ConfigurationError:
        from lighterman.strict import suggestion

        if not self._found_at:
            return ConfigurationError(
                f"no connection {name!r}: there is no catalog; looked at --catalog, ${VARIABLE}, "
                f"{self._default_path} and ${POLYAXON_VARIABLE}",
                hint="give a catalog, or a URI in place of the name",
                connection=name,
            )
        return ConfigurationError(
            f"no connection {name!r} in the catalog {self._found_at}",
            hint=suggestion(name, names, "it has") or "it has no connections at all",
            connection=name,
        )

    def _load(self) -> dict[str, object]:
        from lighterman.connections.shapes import read_catalog

        document = self._document()
        if document is None:
            return {}
        data, origin = document
        self._found_at = origin
        catalog: dict[str, object] = {}
        places: dict[str, str] = {}
        for entry in read_catalog(data, origin, foreign_kinds=origin == f"${POLYAXON_VARIABLE}"):
            if entry.name in catalog:
                raise ConfigurationError(
                    f"{entry.origin}: there is another connection {entry.name!r} "
                    f"at {places[entry.name]}",
                    hint="give each a name of its own",
                )
            is_ours = isinstance(entry, Connection)
            catalog[entry.name] = entry if is_ours else f"its kind is {entry.kind}"
            places[entry.name] = entry.origin.removeprefix(f"{origin}: ")
        return catalog

    def _document(self) -> tuple[object, str] | None:
        if self._flag:
            return read_document(self._flag, what="catalog"), self._flag
        if value := self._environ.get(VARIABLE):
            if _is_document(value):
                return parse_document(value, f"${VARIABLE}"), f"${VARIABLE}"
            return read_document(value, what=f"catalog of ${VARIABLE}"), value
        import os

        if os.path.lexists(self._default_path):
            return read_document(self._default_path, what="catalog"), self._default_path
        if value := self._environ.get(POLYAXON_VARIABLE):
            origin = f"${POLYAXON_VARIABLE}"
            return parse_document(value, origin, only_json=True), origin
        return None


def load_catalog(flag: str | None, environ: Mapping[str, str]) -> Catalog:
    """
    The catalog of the first place that has one: ``--catalog FILE``, ``$LIGHTERMAN_CATALOG`` (a path or the
    document itself), ``/etc/lighterman/connections.yaml``, ``$POLYAXON_CONNECTIONS_CATALOG``.
    """
    return Catalog(flag, environ)


def find_connection(flag: str | None, environ: Mapping[str, str]) -> Callable[[str], Connection]:
    """A connection by its name or URI; the catalog is read when the first name needs it."""
    return load_catalog(flag, environ).get


def _is_document(value: str) -> bool:
    """True for the document itself, false for a path: which has one line, and no ``: ``."""
    text = value.strip()
    return "\n" in text or ": " in text or text.startswith(("{", "[", "- ", "#"))
