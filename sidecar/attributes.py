"""What an object carries beside its bytes: a Content-Type by its name's extension, mode and mtime."""

import functools
import posixpath
from typing import Final

from lighterman.stores.contract import Attributes
from sidecar.states import FileState, RelPath

UNKNOWN: Final = "application/octet-stream"
MARKER: Final = "application/x-directory"
"""What S3's console, rclone and s3fs give to ``dir/`` objects."""

_TYPES: Final = {
    # Compressed files are sent as they are: no Content-Encoding, which readers would undo.
    ".bz2": "application/x-bzip2",
    ".gz": "application/gzip",
    ".tgz": "application/gzip",
    ".xz": "application/x-xz",
    ".zst": "application/zstd",
    ".7z": "application/x-7z-compressed",
    # What jobs write, and Python's own table lacks or names by the system that it runs on.
    ".arrow": "application/vnd.apache.arrow.file",
    ".avro": "application/vnd.apache.avro",
    ".cfg": "text/plain",
    ".feather": "application/vnd.apache.arrow.file",
    ".ini": "text/plain",
    ".ipynb": "application/x-ipynb+json",
    ".jsonl": "application/jsonl",
    ".log": "text/plain",
    ".md": "text/markdown",
    ".ndjson": "application/x-ndjson",
    ".out": "text/plain",
    ".err": "text/plain",
    ".parquet": "application/vnd.apache.parquet",
    ".sqlite": "application/vnd.sqlite3",
    ".toml": "application/toml",
    ".ts": "text/plain",
    ".webp": "image/webp",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    # Of models and tensors: bytes, whatever a system's table says of the same extension.
    ".bin": UNKNOWN,
    ".ckpt": UNKNOWN,
    ".gguf": UNKNOWN,
    ".h5": "application/x-hdf5",
    ".hdf5": "application/x-hdf5",
    ".npy": UNKNOWN,
    ".npz": "application/zip",
    ".onnx": UNKNOWN,
    ".pkl": UNKNOWN,
    ".pt": UNKNOWN,
    ".pth": UNKNOWN,
    ".safetensors": UNKNOWN,
    ".tfrecord": UNKNOWN,
}


def content_type(name: str) -> str:
    """The Content-Type of a file's name, the same on every machine; bytes where nothing is known."""
    return _of_extension(posixpath.splitext(name)[1].lower())


def attributes_of(path: RelPath, state: FileState) -> Attributes:
    """What the object of this state of a file, or a directory's marker, carries."""
    kind = MARKER if path.endswith("/") else content_type(path)
    return Attributes(content_type=kind, mode=state.mode, mtime_ns=state.mtime_ns)


@functools.lru_cache(maxsize=256)
def _of_extension(extension: str) -> str:
    if extension in _TYPES:
        return _TYPES[extension]
    import mimetypes

    # The table as Python ships it. ``guess_type`` would read the system's files first, and differ
    # from image to image.
    return mimetypes.types_map.get(extension, UNKNOWN)
