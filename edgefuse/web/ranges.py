"""Byte ranges of a file over HTTP (RFC 9110, sections 13.1.5 and 14): which part a request asks for, and validators of a version."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate

_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,19})-([0-9]{0,19})[ \t]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Version:
    """A file's version for caches and resumed downloads. etag: strong. modified: HTTP date. size: bytes."""

    etag: str
    modified: str
    size: int

    @classmethod
    def of(cls, facts: os.stat_result) -> Version:
        """Return the version of an open file. A finished recording never changes, so its inode, size and time identify it."""
        return cls(f'"{facts.st_ino:x}-{facts.st_size:x}-{facts.st_mtime_ns:x}"', formatdate(facts.st_mtime, usegmt=True), facts.st_size)

    def asked(self, headers: Mapping[str, str]) -> tuple[int, int] | None:
        """Return the first byte asked for and the one behind the last; None for the whole file.

        Several ranges, an invalid range, and one of another version (`If-Range`) give the whole file, as RFC 9110 allows or demands.
        Raises IndexError where the range lies behind the file's end (416).
        """
        match = _RANGE.fullmatch(headers.get("range", ""))
        condition = headers.get("if-range")
        if match is None or match[1] == match[2] == "" or (condition is not None and condition not in (self.etag, self.modified)):
            return None
        if not match[1]:
            length = min(int(match[2]), self.size)
            begin, end = self.size - length, self.size
        else:
            begin, end = int(match[1]), min(int(match[2]) + 1, self.size) if match[2] else self.size
            if match[2] and int(match[2]) < begin:
                return None
        if begin >= self.size or begin >= end:
            raise IndexError(f"the file has {self.size} bytes")
        return begin, end
