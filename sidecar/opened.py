"""What each output of a command needs, opened: its store, its prefix, its journal, its path held."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from lighterman.connections.model import Connection
from lighterman.jobspec import Output
from lighterman.stores.contract import Store
from sidecar.journal import Journal
from sidecar.options import Options
from sidecar.outputs import check_paths_apart, check_places_apart
from sidecar.place import Hold, below, check_apart, made, prefix_of


class Opened(NamedTuple):
    """One output. Outputs of one connection share its store."""

    options: Options
    store: Store
    journal: Journal
    hold: Hold


def open_all(
    outputs: Sequence[Output],
    environ: Mapping[str, str],
    *,
    find_connection: Callable[[str], Connection],
    open_store: Callable[[Connection, int], Store],
    options_of: Callable[[str, str, Sequence[str]], Options],
    if_failed: str | None = None,
) -> tuple[Opened, ...]:
    """
    All of them, or the error of the first that can't be. ``open_store`` is given how many outputs share the
    connection, ``options_of`` an output's real path, its whole prefix, and the paths of all. ``if_failed`` is
    another prefix that may be written to.
    """
    prefixes = [prefix_of(output.to, environ) for output in outputs]
    connections = [find_connection(output.connection) for output in outputs]
    check_paths_apart([os.path.realpath(output.path) for output in outputs])
    roots = [made(output.path) for output in outputs]
    for connection, prefix in zip(connections, prefixes, strict=True):
        for root in roots:
            check_apart(connection, prefix, root)
            check_apart(connection, prefix if if_failed is None else if_failed, root)
    sharing = Counter(connection.name for connection in connections)
    stores: dict[str, Store] = {}
    for connection in connections:
        if connection.name not in stores:
            stores[connection.name] = open_store(connection, sharing[connection.name])
    places = []
    for connection, prefix in zip(connections, prefixes, strict=True):
        store = stores[connection.name]
        places.append((store, below(store.prefix, prefix)))
    check_places_apart([(store.destination, prefix) for store, prefix in places])
    opened = []
    for root, (store, prefix) in zip(roots, places, strict=True):
        options = options_of(root, prefix, roots)
        hold = Hold(root)
        journal = Journal.open(options.state, f"{store.destination}/{prefix}")
        opened.append(Opened(options, store, journal, hold))
    return tuple(opened)


def close_all(opened: Sequence[Opened]) -> None:
    """Journals first, then each store once."""
    for output in opened:
        output.journal.close()
    for store in {id(output.store): output.store for output in opened}.values():
        store.close()
