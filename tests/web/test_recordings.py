"""Recordings over HTTP: the list, whole files and ranges, and that no path from outside reaches another file."""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from edgefuse.recording.folder import Folder, Limits
from tests.support.waiting import until
from tests.web.conftest import DEADLINE_S, TOKEN, Served

pytest.importorskip("edgefuse.web.app")
Serve = Callable[..., Served]
VIDEO = "edgefuse-00000042-20260312T081500Z.mp4"
RAW = "edgefuse-00000041-20260312T081400Z.efr"
OPEN = "edgefuse-00000043-20260312T081600Z.part.mp4"
DATA = bytes(range(256)) * 1000


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """A recordings folder with a video, a raw recording, one that is being written, and much that is not ours."""
    path = tmp_path / "kept"
    made = Folder(path, Limits(0, 0), 0)
    (path / VIDEO).write_bytes(DATA)
    (path / RAW).write_bytes(b"raw")
    (path / OPEN).write_bytes(b"unfinished")
    (tmp_path / "secret").write_text("secret")
    (path / "notes.txt").write_text("secret")
    (path / "edgefuse-0000000001-20260312T081500Z.mp4").write_text("secret")  # ten digits
    (path / "edgefuse-00000050-20260312T081500Z.mp4").symlink_to(tmp_path / "secret")
    (path / "edgefuse-00000051-20260312T081500Z.mp4").mkdir()
    os.mkfifo(path / "edgefuse-00000052-20260312T081500Z.mp4")
    yield made
    made.close()


@pytest.fixture
def page(serve: Serve, folder: Folder) -> Served:
    served = serve()
    served.live.library = folder
    return served


def test_the_list_is_newest_first_and_shows_the_one_being_written(page: Served) -> None:
    told = page.json("/recordings.json")
    assert [(one["name"], one["bytes"], one["open"]) for one in told["recordings"]] == [
        (OPEN, 10, True), (VIDEO, len(DATA), False), (RAW, 3, False),
    ]  # fmt: skip
    assert told["recordings"][1]["begin_s"] == 1773303300  # 2026-03-12 08:15:00 UTC
    assert (told["kept"], told["count"], told["bytes"]) == (True, 3, len(DATA) + 13)
    assert [one["name"] for one in page.json("/recordings.json?count=1")["recordings"]] == [OPEN]
    for wrong in ("0", "x", "-1", "1e3", "5001", "", "٣"):
        assert page.get(f"/recordings.json?count={quote(wrong)}")[0] == 400


def test_without_a_recording_the_list_is_empty(serve: Serve) -> None:
    served = serve()
    assert served.json("/recordings.json") == {"kept": False, "count": 0, "bytes": 0, "recordings": []}
    assert served.get(f"/recordings/{VIDEO}")[0] == 404


def test_a_whole_recording(page: Served) -> None:
    with page.ask("GET", f"/recordings/{VIDEO}") as answer:
        assert answer.read() == DATA
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "video/mp4"
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["Content-Disposition"] == f'inline; filename="{VIDEO}"'
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        etag = answer.headers["ETag"]
        assert etag.startswith('"')
    with page.ask("HEAD", f"/recordings/{VIDEO}?download") as answer:
        assert (answer.status, answer.read()) == (200, b"")
        assert answer.headers["Content-Length"] == str(len(DATA))
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{VIDEO}"'
        assert answer.headers["ETag"] == etag
    assert page.get(f"/recordings/{RAW}") == (200, b"raw")
    until(lambda: page.web._site is not None and page.web._site.recordings._open == 0, "the files to be closed")


def test_a_part_of_a_recording(page: Served) -> None:
    with page.ask("GET", f"/recordings/{VIDEO}", Range="bytes=1000-100999") as answer:
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes 1000-100999/{len(DATA)}"
        assert answer.headers["Content-Length"] == "100000"
        assert answer.read() == DATA[1000:101000]
        etag = answer.headers["ETag"]
    assert page.get(f"/recordings/{VIDEO}", Range="bytes=-5") == (206, DATA[-5:])
    assert page.get(f"/recordings/{VIDEO}", Range="bytes=7-9", If_Range=etag) == (206, DATA[7:10])
    assert page.get(f"/recordings/{VIDEO}", Range="bytes=7-9", If_Range='"other"') == (200, DATA)
    with page.ask("GET", f"/recordings/{VIDEO}", Range=f"bytes={len(DATA)}-") as answer:
        assert answer.status == 416
        assert answer.headers["Content-Range"] == f"bytes */{len(DATA)}"


def test_a_changed_file_has_another_etag(page: Served, folder: Folder) -> None:
    def etag() -> str:
        with page.ask("HEAD", f"/recordings/{VIDEO}") as answer:
            return str(answer.headers["ETag"])

    first = etag()
    os.utime(folder.path / VIDEO, ns=(1, 1))
    assert etag() != first


STRANGE = [
    OPEN,  # being written
    "notes.txt",
    "edgefuse-0000000001-20260312T081500Z.mp4",
    "edgefuse-00000050-20260312T081500Z.mp4",  # a link
    "edgefuse-00000051-20260312T081500Z.mp4",  # a folder
    "edgefuse-00000052-20260312T081500Z.mp4",  # a pipe
    "edgefuse-00000099-20260312T081500Z.mp4",  # does not exist
    "..%2Fsecret", "..", ".", "%2e%2e%2fsecret", "..%5Csecret", "%2Fetc%2Fpasswd", "../secret", "./" + VIDEO,
    VIDEO + "%00", VIDEO + "%0A",
    "", "a" * 300, "%ff%fe", ".edgefuse-recordings", VIDEO.upper(), "kept/" + VIDEO, VIDEO + "/",
]  # fmt: skip


def test_nothing_else_is_served(page: Served) -> None:
    for name in STRANGE:
        with socket.create_connection(page.address, timeout=DEADLINE_S) as connection:
            connection.sendall(f"GET /recordings/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            body = answer.read()
        assert answer.status == 404, name
        assert b"secret" not in body
        assert b"unfinished" not in body


def test_a_link_that_takes_the_file_s_place_is_not_followed(page: Served, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = folder.recordings()
    (folder.path / VIDEO).unlink()
    (folder.path / VIDEO).symlink_to(folder.path.parent / "secret")
    # as if it were replaced between the list and the opening
    monkeypatch.setattr(folder, "recordings", lambda: listed)
    assert page.get(f"/recordings/{VIDEO}")[0] == 404


def test_recordings_need_the_token(serve: Serve, folder: Folder) -> None:
    served = serve(token=TOKEN)
    served.live.library = folder
    for path in ("/recordings.json", f"/recordings/{VIDEO}", "/moment.jpg?id=1", "/settings.json", "/regions.json"):
        assert served.get(path)[0] == 401
    assert served.get(f"/recordings/{RAW}", Authorization=f"Bearer {TOKEN}") == (200, b"raw")


def test_a_reader_that_leaves_frees_its_place_and_no_more_than_the_limit_read(serve: Serve, folder: Folder) -> None:
    served = serve(clients=1)
    served.live.library = folder
    big = folder.path / "edgefuse-00000060-20260312T081500Z.mp4"
    with big.open("wb") as file:
        file.truncate(1 << 28)
    with socket.create_connection(served.address, timeout=DEADLINE_S) as connection:
        connection.sendall(f"GET /recordings/{big.name} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert connection.recv(12) == b"HTTP/1.1 200"
        assert served.get(f"/recordings/{RAW}")[0] == 503
    until(lambda: served.get(f"/recordings/{RAW}")[0] == 200, "the place to be free again")
    # not read to its end for nobody
    assert served.web.report()["bytes_sent"] < 1 << 26
