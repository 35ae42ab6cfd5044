"""
Uploads by parts on a volume: each upload is a hidden directory that holds a description and one file
for each part, so that any process may go on with it.
"""

import os
import re
import shutil
import uuid
from typing import Final

import msgspec

from lighterman.errors import UploadMissingError
from lighterman.stores.contract import Attributes, ETag, Key, OpenUpload, Part, Window
from lighterman.stores.volume.paths import UPLOADS, Root, etag_of
from lighterman.stores.windows import copy_between, writing_failed

DESCRIPTION: Final = "upload.json"
_ID: Final = re.compile(r"[0-9a-f]{32}")
_PART: Final = re.compile(r"part-(\d+)")


class Description(msgspec.Struct, frozen=True):
    """What an upload is to become."""

    key: str
    begun_seconds: float
    attributes: Attributes


class Uploads:
    """The open uploads of one root."""

    def __init__(self, root: Root) -> None:
        self._root = root

    def begin(self, key: Key, attributes: Attributes, now_seconds: float) -> str:
        upload_id = uuid.uuid4().hex
        content = msgspec.json.encode(Description(key, now_seconds, attributes))
        with self._root.replacing(f"{UPLOADS}/{upload_id}/{DESCRIPTION}") as file:
            try:
                os.write(file.descriptor, content)
            except OSError as error:
                raise writing_failed(error, self._root.where(key)) from error
            file.place(None, None)
        return upload_id

    def describe(self, key: Key, upload_id: str) -> Description:
        """What an upload is to become; ``UploadMissingError`` if it is no more, or of another key."""
        description = self._read(upload_id) if _ID.fullmatch(upload_id) else None
        if description is None or description.key != key:
            raise self._missing(key, upload_id)
        return description

    def send(self, key: Key, upload_id: str, number: int, window: Window) -> tuple[Part, int]:
        """Keep one part; gives it and how many bytes the window really had."""
        self.describe(key, upload_id)
        with self._root.replacing(f"{UPLOADS}/{upload_id}/part-{number}") as file:
            copied = copy_between(window, file.descriptor, 0)
            if copied < window.size_bytes:
                return Part(number, ETag(""), copied), copied
            return Part(number, file.place(None, None), copied), copied

    def sent(self, key: Key, upload_id: str) -> list[Part]:
        self.describe(key, upload_id)
        parts = []
        try:
            with os.scandir(self._place(upload_id)) as scan:
                for entry in scan:
                    if match := _PART.fullmatch(entry.name):
                        status = entry.stat()
                        parts.append(Part(int(match[1]), etag_of(status), status.st_size))
        except FileNotFoundError as error:
            raise self._missing(key, upload_id) from error
        return sorted(parts)

    def join(self, key: Key, upload_id: str, parts: list[Part], target: int) -> None:
        """Write the content of these parts, one after another, into an open file."""
        offset = 0
        for part in parts:
            place = os.path.join(self._place(upload_id), f"part-{part.number}")
            try:
                source = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError as error:
                raise self._missing(key, upload_id) from error
            try:
                status = os.fstat(source)
                if etag_of(status) != part.etag:
                    raise self._missing(key, upload_id)
                offset += copy_between(Window(source, 0, status.st_size), target, offset)
            finally:
                os.close(source)

    def drop(self, upload_id: str) -> None:
        """Remove an upload and what it holds; one that is no more is no error."""
        if _ID.fullmatch(upload_id):
            # The description first: what is left of a removal that was cut short is no upload any more.
            for name in (DESCRIPTION, ""):
                place = os.path.join(self._place(upload_id), name)
                try:
                    shutil.rmtree(place) if name == "" else os.unlink(place)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    raise writing_failed(error, place) from error

    def open(self, prefix: str) -> list[OpenUpload]:
        try:
            ids = sorted(os.listdir(self._root.where(UPLOADS)))
        except FileNotFoundError:
            return []
        found = []
        for upload_id in ids:
            description = self._read(upload_id) if _ID.fullmatch(upload_id) else None
            if description and description.key.startswith(prefix):
                found.append(OpenUpload(Key(description.key), upload_id, description.begun_seconds))
        return found

    def _place(self, upload_id: str) -> str:
        return self._root.where(f"{UPLOADS}/{upload_id}")

    def _read(self, upload_id: str) -> Description | None:
        try:
            with open(os.path.join(self._place(upload_id), DESCRIPTION), "rb") as file:
                return msgspec.json.decode(file.read(), type=Description)
        except FileNotFoundError:
            return None

    def _missing(self, key: Key, upload_id: str) -> UploadMissingError:
        return UploadMissingError(
            f"the upload {upload_id} of {self._root.where(key)} is no more, or lacks a part",
            connection=self._root.connection,
            key=key,
        )
