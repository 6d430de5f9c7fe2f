"""A remote object as a seekable file: read in blocks, some of which are kept."""

from __future__ import annotations

import io
import os
from typing import Any, BinaryIO

from colorize_core.storage_failures import tried

# Decoding a 30 MB film front to back takes 8 requests so (502 without a cache, 10 with readahead),
# and going back to a span just read takes none. An open file holds 32 MiB at most.
BLOCK_BYTES = 4 * 2**20
BLOCKS = 8


class BlockReader(io.RawIOBase):
    """Reads whole blocks of `file`, each of which is tried again, and fails in our own words.

    Not fsspec's block cache: that one stays in memory after the file is closed, until Python
    looks for cycles, and takes a short answer for a whole block.
    """

    def __init__(self, uri: str, file: BinaryIO) -> None:
        self._uri = uri
        self._file = file
        self._blocks: dict[int, bytes] = {}  # the one used last is last
        self._position = 0
        file.seek(0, os.SEEK_END)
        self._size = file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"{base + offset} is before the start of the file")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        wanted = max(0, min(len(view), self._size - self._position))
        done = 0
        while done < wanted:
            number, offset = divmod(self._position, BLOCK_BYTES)
            piece = memoryview(self._block(number))[offset : offset + wanted - done]
            view[done : done + len(piece)] = piece
            done += len(piece)
            self._position += len(piece)
        return done

    def close(self) -> None:
        if not self.closed:
            self._blocks.clear()
            self._file.close()
        super().close()

    def _block(self, number: int) -> bytes:
        block = self._blocks.pop(number, None)
        if block is None:
            block = tried("read", self._uri, lambda: self._fetch(number))
            while len(self._blocks) >= BLOCKS:
                self._blocks.pop(next(iter(self._blocks)))
        self._blocks[number] = block
        return block

    def _fetch(self, number: int) -> bytes:
        start = number * BLOCK_BYTES
        length = min(BLOCK_BYTES, self._size - start)
        self._file.seek(start)
        block = self._file.read(length)
        if len(block) != length:
            raise ConnectionError(f"{len(block)} bytes came at {start}, and not {length}")
        return block
