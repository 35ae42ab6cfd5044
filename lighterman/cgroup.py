"""What the container may use of memory, as its cgroup (v2 or v1) says."""

from pathlib import Path

_UNLIMITED_FROM = 1 << 60
"""v1 writes "no limit" as a number near 2^63."""


def memory_limit_bytes(root: Path = Path("/")) -> int | None:
    """The memory limit of this process's cgroup, the tightest on its way up; ``None`` without one."""
    limits = [
        limit
        for directory, name in _places(root, "memory.max", "memory.limit_in_bytes")
        if (limit := _number(directory / name)) is not None and limit < _UNLIMITED_FROM
    ]
    return min(limits, default=None)


def memory_used_bytes(root: Path = Path("/")) -> int | None:
    """What this process's cgroup uses now, its tmpfs files included; ``None`` where it isn't told."""
    for directory, name in _places(root, "memory.current", "memory.usage_in_bytes"):
        used = _number(directory / name)
        if used is not None:
            return used
    return None


def memory_reclaimable_bytes(root: Path = Path("/")) -> int:
    """How much of what is used is page cache, which makes room when it is asked; 0 where it isn't told."""
    for directory, name in _places(root, "memory.stat", "memory.stat"):
        try:
            lines = (directory / name).read_text().splitlines()
        except OSError:
            continue
        told = {field: int(value) for field, _, value in (line.partition(" ") for line in lines)}
        if "file" in told:
            return max(0, told["file"] - told.get("shmem", 0))
        return max(0, told.get("total_cache", 0) - told.get("total_shmem", 0))
    return 0


def _places(root: Path, name_v2: str, name_v1: str) -> list[tuple[Path, str]]:
    """Own cgroup first, then its parents: in a container the own path may not be visible."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    places: list[tuple[Path, str]] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, name = root / "sys/fs/cgroup", name_v2
        elif "memory" in controllers.split(","):
            mount, name = root / "sys/fs/cgroup/memory", name_v1
        else:
            continue
        own = mount / path.lstrip("/")
        ancestors = [own, *own.parents]
        places += [(place, name) for place in ancestors if place.is_relative_to(mount)]
    return places


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
