"""
The library as its users type it: not run, but checked by mypy's strictest rules. What is written here must
stay right.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import lighterman
from lighterman import Entry, ExitCode, LightermanError, Place, Transferred, connect, get_fs


def a_place() -> Place:
    return connect(
        "datasets",
        catalog=Path("connections.yaml"),
        environ={"AWS_PROFILE": "me"},
        workers=8,
        memory_bytes=64 << 20,
        retry_seconds=60,
        stall_seconds=10.0,
    )


def uploads(place: Place) -> int:
    one: Transferred = place.upload_file("model.pt", "models/model.pt")
    two: Transferred = place.upload_dir(
        Path("out"), "runs/1", exclude=["*.tmp", "cache/"], state=Path("state")
    )
    return one.files + two.size_bytes + two.skipped + two.unverified + two.retries


def downloads() -> tuple[str, int]:
    with lighterman.connect("s3://bucket/prefix") as place:
        place.download_file("labels.csv", Path("labels.csv"))
        told: Transferred = place.download_dir("train", "data/train")
        return place.name, told.files


def entries(place: Place) -> Iterator[tuple[str, int, datetime]]:
    entry: Entry
    for entry in place.list("train"):
        if not (entry.is_directory or entry.archived):
            yield entry.key + entry.etag, entry.size_bytes, entry.modified


def errors() -> ExitCode:
    try:
        connect("nothing").close()
    except LightermanError as error:
        texts: list[str] = [error.message, error.hint, error.kind, error.connection, error.key]
        return error.exit_code if all(texts) else ExitCode.BUG
    return ExitCode.DONE


def filesystems() -> None:
    fs = get_fs("datasets", catalog="connections.yaml", use_listings_cache=True)
    fs.close()


async def asynchronous_filesystems() -> None:
    fs = get_fs("datasets", asynchronous=True)
    await fs.set_session()
    await fs.aclose()
