"""Which paths of the pod are whose: what init fills, what the sidecar empties, and what may not lie in what."""

import os
from itertools import combinations
from typing import Final

from initializer.entries import Entry
from lighterman.errors import ConfigurationError
from lighterman.jobspec import Output
from lighterman.pods.read import Written
from sidecar.outputs import check_paths_apart, is_within
from sidecar.place import VARIABLES, prefix_of

CONFIGURATION: Final = "/etc/lighterman"
"""Where Lighterman's containers find the catalog and the job spec."""
STATE: Final = "/var/lib/lighterman"
"""Where the sidecar's journal lives."""
_IN_IMAGES: Final = (
    *("/bin", "/dev", "/lib", "/lib64", "/proc", "/sbin", "/sys"),
    *("/usr/bin", "/usr/lib", "/usr/local/bin", "/usr/local/lib", "/opt/lighterman"),
)
"""What a container needs of its image, and of the kernel, to run at all."""
_WORDS: Final = {names[1]: word for word, names in VARIABLES.items()}
_OWN_WORDS: Final = ("pod", "uid", "index")
"""Words of a prefix that no two pods of a Job share."""


def absolute(path: str) -> str:
    """The path without ``.``, ``..`` and double slashes; from the root, whatever directory this runs in."""
    return os.path.normpath(f"/{path.lstrip('/')}")


def output_paths(written: Written) -> tuple[str, ...]:
    """Where main writes, in the order of the outputs."""
    return tuple(absolute(output.path) for output in written.spec.outputs)


def hidden_by(path: str) -> str:
    """What of its image, or of the kernel, a container would miss with a volume at ``path``; nothing, if nothing."""
    of_kernel = next((top for top in ("/proc", "/sys") if is_within(path, top)), "")
    return of_kernel or next((one for one in _IN_IMAGES if is_within(one, path)), "")


def check_paths(written: Written) -> None:
    """
    ``ConfigurationError`` for what no pod can have: two entries at one path, inputs among the outputs (but a resumed
    run's), outputs among outputs, a path that is Lighterman's own or the root.
    """
    for index, (entry, declared) in enumerate(
        zip(written.entries, written.spec.init or (), strict=True)
    ):
        _check_place(
            written, written.entry_place(index, "path"), declared.path or entry.destination
        )
        if declared.cache:
            _check_place(written, written.entry_place(index, "cache"), declared.cache.path)
    outputs = output_paths(written)
    for index, output in enumerate(written.spec.outputs):
        _check_place(written, written.output_place(index, "path"), output.path)
    for (_, one), (index, other) in combinations(enumerate(written.entries), 2):
        if one.destination == other.destination:
            written.fail(
                written.entry_place(index, "path"),
                f"two init entries go to {other.destination}",
                "give each a path of its own; dirs and files of one connection can stand in one entry",
            )
    check_paths_apart(outputs)
    for index, (output, path) in enumerate(zip(written.spec.outputs, outputs, strict=True)):
        for number, entry in enumerate(written.entries):
            _check_apart(written, (index, output, path), (number, entry))
    _check_caches(written)


def check_prefixes(written: Written) -> None:
    """``ConfigurationError`` for a prefix that two pods of the Job would share, or that no pod can fill in."""
    pods = max(written.run.completions or 1, written.run.parallelism or 1)
    environ = dict.fromkeys(_WORDS, "0")
    if not written.is_indexed:
        del environ[VARIABLES["index"][1]]
    for index, output in enumerate(written.spec.outputs):
        place = written.output_place(index, "to")
        if "{index}" in output.to and not written.is_indexed:
            written.fail(
                place,
                "{index} is set in Indexed Jobs only",
                f"say how many pods there are ({written.place('completions')}), or use {{pod}}",
            )
        try:
            prefix_of(output.to, environ, "prefix")
        except ConfigurationError as error:
            written.fail(place, error.message, error.hint)
        if pods > 1 and not any(f"{{{word}}}" in output.to for word in _OWN_WORDS):
            word = "{index}" if written.is_indexed else "{pod}"
            written.fail(
                place,
                f"{pods} pods would share the prefix {output.to or 'of the connection itself'!r}",
                f"give each its own: to: {'/'.join(filter(None, (output.to.strip('/'), word)))}",
            )


def variables_of(output: Output) -> list[str]:
    """The variables of the downward API that a prefix asks for."""
    words = [word for word in VARIABLES if f"{{{word}}}" in output.to]
    return [VARIABLES[word][1] for word in words if word != "index"]


def _check_place(written: Written, place: str, said: str) -> None:
    if not said.startswith("/"):
        written.fail(place, f"{said!r} is no absolute path", "it begins with a slash")
    path = absolute(said)
    if ":" in path or not path.isprintable():
        written.fail(
            place,
            f"{path!r} is no place for a volume: Kubernetes takes no colon there",
            "give a directory without colons and control characters",
        )
    if path == "/":
        written.fail(place, "the root of the file system", "give a directory of its own")
    hidden = hidden_by(path)
    if hidden:
        written.fail(place, f"a volume at {path} would hide {hidden}", "give another directory")
    for own in (CONFIGURATION, STATE):
        if is_within(path, own) or is_within(own, path):
            written.fail(place, f"{path} and Lighterman's own {own}", "give another directory")


def _check_caches(written: Written) -> None:
    """A cache is the node's: what is brought or sent is none of its files."""
    paths = [
        (written.entry_place(index, "path"), entry.destination)
        for index, entry in enumerate(written.entries)
    ]
    paths += [
        (written.output_place(index, "path"), path)
        for index, path in enumerate(output_paths(written))
    ]
    for index, entry in enumerate(written.entries):
        for place, path in paths:
            cache = entry.cache.path if entry.cache else None
            if cache and (is_within(cache, path) or is_within(path, cache)):
                written.fail(
                    written.entry_place(index, "cache"),
                    f"{cache} and {place}, {path}, are one inside the other",
                    "give the cache a directory of its own",
                )


def _check_apart(
    written: Written, out: tuple[int, Output, str], brought: tuple[int, Entry]
) -> None:
    (index, output, path), (number, entry) = out, brought
    if not (is_within(path, entry.destination) or is_within(entry.destination, path)):
        return
    here, there = written.output_place(index, "path"), written.entry_place(number)
    if path != entry.destination:
        written.fail(
            here,
            f"{path} and the path of {there}, {entry.destination}, are one inside the other",
            "give the outputs a path of their own: what init brings would be sent out again",
        )
    if not _is_resumed(entry, output):
        written.fail(
            here,
            f"{there} brings something else to {path}",
            "give the outputs a path of their own; a resumed run brings what went to the same connection "
            "and prefix before",
        )


def _is_resumed(entry: Entry, output: Output) -> bool:
    """Whether what is brought lies where the outputs would put it."""
    if entry.connection != output.connection:
        return False
    top = output.to.strip("/")
    pairs = (*entry.dirs, *entry.files)
    if not pairs:
        return not top
    return all(
        pair.source == "/".join(part for part in (top, pair.target) if part) for pair in pairs
    )
