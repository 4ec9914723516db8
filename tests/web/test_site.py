"""Routes other than the stream: pictures, state, health, the report, commands."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from edgefuse.errors import OutputError
from edgefuse.events import Event
from edgefuse.frames import FusedFrame
from tests.support.waiting import until
from tests.web.conftest import Served

pytest.importorskip("edgefuse.web.app")
Serve = Callable[..., Served]
_JSON = {"Content_Type": "application/json"}


def test_health_follows_the_frames(serve: Serve, frames: list[FusedFrame]) -> None:
    page = serve()
    assert page.get("/healthz")[0] == 503
    assert page.json("/healthz")["why"] == "no frame yet"
    page.live.write(frames[0])
    page.web._state._stalled_s = 60.0
    assert page.get("/healthz")[0] == 200
    assert page.json("/healthz")["frames"] == 1
    page.web._state._stalled_s = 0.05
    until(lambda: page.get("/healthz")[0] == 503, "/healthz to answer 503")
    assert page.json("/healthz")["why"].startswith("no frame for")
    page.web._state._stalled_s = 60.0
    page.live.write(frames[0])
    assert page.get("/healthz")[0] == 200


def test_a_snapshot_is_bit_exact(serve: Serve, frames: list[FusedFrame]) -> None:
    page = serve()
    assert page.get("/picture.png")[0] == 503
    page.live.write(frames[1])
    with page.ask("GET", "/picture.png") as answer:
        assert answer.headers["Content-Type"] == "image/png"
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="edgefuse-fused-')
        picture = cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(picture, frames[1].data)
    mixed = cv2.imdecode(np.frombuffer(page.get("/picture.png?view=fused&over=visible&share=0.25")[1], np.uint8), cv2.IMREAD_UNCHANGED)
    expected = 0.75 * frames[1].data + 0.25 * frames[1].pair.visible.data
    assert np.abs(mixed - expected).max() <= 1


@pytest.mark.parametrize("query", ["view=x", "over=x", "share=x", "share=2", "share=nan", "share=-1"])
def test_a_snapshot_of_an_unknown_view_is_an_error(serve: Serve, frames: list[FusedFrame], query: str) -> None:
    page = serve()
    page.live.write(frames[0])
    assert page.get(f"/picture.png?{query}")[0] == 400


def test_report_and_state_match_the_run(serve: Serve, frames: list[FusedFrame]) -> None:
    page = serve()
    page.facts |= {
        "model": {"name": "m"},
        "cameras": {"infrared": {"state": "lost", "fps": None}},
        "mqtt": {"trouble": "no broker"},
        "web": {"trouble": ""},
    }
    page.feed(frames)
    page.live.emit(Event("alarm", "stove", {"celsius": 91.5}))
    state = until(lambda: (s := page.json("/state.json"))["sample"] and s["sample"]["fps"] and s, "a sample with frames per second")
    assert state["sample"]["memory_mb"] > 10
    assert state["sample"]["in_mb_s"] > state["sample"]["out_mb_s"] > 0
    assert state["report"]["model"] == {"name": "m"}
    assert state["warnings"] == ["infrared camera: lost", "mqtt: no broker"]
    assert [(e["kind"], e["name"], e["facts"]) for e in state["events"]] == [("alarm", "stove", {"celsius": 91.5})]
    assert page.json("/report.json") == json.loads(json.dumps(page.facts))
    assert page.json("/history.json")[-1]["time_s"] > 1e9


def test_concurrent_state_requests_share_one_answer(serve: Serve) -> None:
    made: list[int] = []
    page, begin = serve(), time.monotonic()
    page.live._make_report = lambda: made.append(1) or page.facts
    for _ in range(20):
        assert page.get("/state.json")[0] == 200
    assert len(made) <= time.monotonic() - begin + 1


def test_record_is_forwarded_where_it_is_available(serve: Serve) -> None:
    page, asked = serve(), []

    def record(given: Any) -> dict[str, Any]:
        asked.append(given)
        if not given["on"]:
            raise OutputError("cannot write /x: the disk is full")
        return {"on": True}

    def post(body: bytes, **headers: str) -> tuple[int, str]:
        with page.ask("POST", "/record", body, **headers) as answer:
            return answer.status, answer.read().decode()

    assert post(b'{"on": true}', **_JSON) == (409, "recording is not set up; add a [recording] table to the settings\n")
    page.live.register_command("record", record)
    assert post(b'{"on": true}', **_JSON) == (200, '{"on": true}')
    assert post(b'{"on": false}', **_JSON) == (409, "cannot write /x: the disk is full\n")
    assert page.json("/state.json")["commands"] == ["record"]
    for body in (b"", b"{}", b'{"on": 1}', b'{"on": true, "x": 1}', b"[]", b"nonsense", b"[" * 1000, b"\xff"):
        assert post(body, **_JSON)[0] == 400
    assert post(b'{"on": true}')[0] == 400
    assert post(b'{"on": true}', Content_Type="text/plain")[0] == 400
    assert post(b" " * 2000 + b'{"on": true}', **_JSON)[0] == 413
    assert asked == [{"on": True}, {"on": False}]


def test_metrics_equal_the_prometheus_exposition(serve: Serve, frames: list[FusedFrame]) -> None:
    pytest.importorskip("edgefuse.telemetry.prometheus", reason="prometheus_client is not installed")
    pytest.importorskip("prometheus_client")
    page = serve()
    page.live.write(frames[0])
    with page.ask("GET", "/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        assert b"edgefuse_" in answer.read()


def test_metrics_without_prometheus_client_name_the_install_command(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("edgefuse.telemetry.prometheus", reason="prometheus_client is not installed")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    status, body = serve().get("/metrics")
    assert status == 501
    assert b"pip install" in body


@pytest.mark.parametrize(("method", "path"), [("POST", "/"), ("GET", "/record"), ("DELETE", "/stream.mjpg"), ("PUT", "/report.json")])
def test_the_wrong_method(serve: Serve, method: str, path: str) -> None:
    with serve().ask(method, path) as answer:
        assert answer.status == 405


def test_the_view_is_chosen_by_a_command_and_shown_beside_the_fused_picture(serve: Serve, frames: list[FusedFrame]) -> None:
    page, asked = serve(), []
    body = b'{"view": "edges"}'
    with page.ask("POST", "/view", body, **_JSON) as answer:
        assert answer.status == 409

    def do(given: Any) -> dict[str, Any]:
        if given["view"] == "x":
            raise OutputError("unknown view 'x'")
        asked.append(given)
        return dict(given)

    page.live.register_command("view", do)
    with page.ask("POST", "/view", body, **_JSON) as answer:
        assert (answer.status, json.loads(answer.read())) == (200, {"view": "edges"})
    for wrong in (b"", b"[]", b'{"view": 3}', b'{"view": "edges", "more": 1}'):
        with page.ask("POST", "/view", wrong, **_JSON) as answer:
            assert answer.status == 400
    with page.ask("POST", "/view", body, Content_Type="text/plain") as answer:
        assert answer.status == 400
    with page.ask("POST", "/view", b'{"view": "x"}', **_JSON) as answer:
        assert (answer.status, answer.read()) == (409, b"unknown view 'x'\n")
    assert asked == [{"view": "edges"}]
    wide = np.zeros((80, 192, 3), np.uint8)
    page.live.write(replace(frames[0], data=wide, beneath=frames[0].data))
    for name, shape in (("shown", (80, 192, 3)), ("fused", (80, 96, 3))):
        picture = cv2.imdecode(np.frombuffer(page.get(f"/picture.png?view={name}")[1], np.uint8), cv2.IMREAD_UNCHANGED)
        assert picture.shape == shape
    assert page.get("/picture.png?view=shown&over=visible&share=0.5")[0] == 409
