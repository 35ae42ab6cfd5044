"""A filesystem in memory, and what inotify queues of it: names, inodes, open writers, directories that move."""

from dataclasses import dataclass, field
from typing import NamedTuple

from sidecar.states import RelPath, join
from sidecar.watch import Change, Kind


@dataclass
class Inode:
    """A file, whatever its names. ``version`` grows with all that a state of it tells."""

    number: int
    version: int = 0
    is_empty: bool = True
    names: set["Name"] = field(default_factory=set)
    writers: list["Writer"] = field(default_factory=list)

    @property
    def state(self):
        return self.number, self.version


@dataclass(eq=False)
class Name:
    """An entry of a directory; ``directory`` is ``None`` once it is unlinked or replaced."""

    directory: "Directory | None"
    name: str
    inode: Inode


@dataclass(eq=False)
class Directory:
    path: RelPath
    entries: dict[str, Name] = field(default_factory=dict)


class Writer(NamedTuple):
    """Someone who has a file open for writing, by the name under which it was opened."""

    name: Name


class _Event(NamedTuple):
    what: str
    directory: Directory
    name: str
    origin: tuple[Directory, str] | None = None


class Filesystem:
    """
    Changes are queued as the kernel does it: by the directory and the name of that moment. ``read`` gives
    what the watch makes of them, which looks at the tree as it is when it reads.
    """

    def __init__(self, directories):
        self.directories = [Directory(RelPath(path)) for path in directories]
        self._known = {directory: directory.path for directory in self.directories}
        self._queue = []
        self._inodes = 0
        self.writers = []
        self.untold = set()
        """Inodes of which something is not told under each of their names."""

    # What is done

    def entry(self, path):
        directory, name = self._at(path)
        return directory.entries.get(name) if directory else None

    def tree(self):
        """Path to inode."""
        return {
            join(directory.path, name): entry.inode
            for directory in self.directories
            for name, entry in directory.entries.items()
        }

    def open(self, path, *, cut):
        """Open for writing; makes the file. ``cut`` is O_TRUNC."""
        directory, name = self._at(path)
        if directory is None:
            return
        entry = directory.entries.get(name)
        if entry is None:
            self._inodes += 1
            entry = self._link(directory, name, Inode(self._inodes))
        elif cut:
            self._change(entry, "MODIFY")
            entry.inode.is_empty = True
        writer = Writer(entry)
        self.writers.append(writer)
        entry.inode.writers.append(writer)

    def write(self, writer):
        writer.name.inode.is_empty = False
        self._change(writer.name, "MODIFY")

    def close(self, writer):
        self.writers.remove(writer)
        writer.name.inode.writers.remove(writer)
        self._tell("CLOSE_WRITE", writer.name)

    def touch(self, path):
        entry = self.entry(path)
        if entry:
            self._change(entry, "ATTRIB")

    def link(self, old, new):
        entry = self.entry(old)
        directory, name = self._at(new)
        if entry and directory and name not in directory.entries:
            self._link(directory, name, entry.inode)

    def unlink(self, path):
        entry = self.entry(path)
        if entry:
            self._tell("DELETE", entry)
            self._unlink(entry)

    def rename(self, old, new):
        entry = self.entry(old)
        directory, name = self._at(new)
        replaced = directory.entries.get(name) if directory else None
        if entry is None or directory is None or (replaced and replaced.inode is entry.inode):
            return
        origin = entry.directory, entry.name
        if replaced:
            self._unlink(replaced)
        del entry.directory.entries[entry.name]
        entry.directory, entry.name = directory, name
        directory.entries[name] = entry
        self._queue.append(_Event("MOVED", directory, name, origin))

    def rename_directory(self, number, new):
        directory = self.directories[number]
        if directory.path and all(each.path != new for each in self.directories):
            directory.path = RelPath(new)
            self._queue.append(_Event("DIRECTORY_MOVED", directory, new))

    # What is told

    @property
    def is_told(self):
        return not self._queue

    def overflow(self):
        """The queue was full: what is in it is lost. A walk puts the watches right."""
        self._queue.clear()
        self._known = {directory: directory.path for directory in self.directories}

    def read(self, most):
        """What the watch makes of the first events of the queue."""
        for _ in range(min(most, len(self._queue))):
            yield from self._told(self._queue.pop(0))

    def _told(self, event):
        at = join(self._known[event.directory], event.name)
        match event.what:
            case "CREATE":
                kind = self._created(at)
                if kind:
                    yield Change(kind, at)
            case "MODIFY":
                yield Change(Kind.WRITING, at)
            case "CLOSE_WRITE":
                yield Change(Kind.CLOSED, at)
            case "ATTRIB":
                yield Change(Kind.TOUCHED, at)
            case "DELETE":
                yield Change(Kind.GONE, at)
            case "MOVED":
                origin = join(self._known[event.origin[0]], event.origin[1])
                yield Change(Kind.GONE, origin)
                yield Change(Kind.ARRIVED, at, origin)
            case _:
                was, self._known[event.directory] = (
                    self._known[event.directory],
                    RelPath(event.name),
                )
                yield Change(Kind.DIRECTORY_GONE, was)
                if event.directory.path == event.name:  # else it moved on, and is scanned there
                    for name in list(event.directory.entries):
                        yield Change(Kind.ARRIVED, join(event.name, name), join(was, name))

    def _created(self, path):
        entry = self.entry(path)
        if entry is None:
            return None
        is_new = len(entry.inode.names) == 1 and entry.inode.is_empty
        if is_new and not entry.inode.writers:
            self.untold.add(entry.inode.number)  # a link to an empty file that lost its other name
        return Kind.WRITING if is_new else Kind.ARRIVED

    # Inside

    def _at(self, path):
        where, _, name = path.rpartition("/")
        return next((each for each in self.directories if each.path == where), None), name

    def _tell(self, what, entry):
        if entry.directory is not None:  # IN_EXCL_UNLINK
            self._queue.append(_Event(what, entry.directory, entry.name))

    def _change(self, entry, what):
        entry.inode.version += 1
        self._tell(what, entry)
        if entry.directory is None or len(entry.inode.names) > 1:
            self.untold.add(entry.inode.number)

    def _link(self, directory, name, inode):
        entry = Name(directory, name, inode)
        directory.entries[name] = entry
        inode.names.add(entry)
        self._tell("CREATE", entry)
        return entry

    def _unlink(self, entry):
        del entry.directory.entries[entry.name]
        entry.directory = None
        entry.inode.names.discard(entry)
