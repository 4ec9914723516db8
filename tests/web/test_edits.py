"""Changes from the page over HTTP: what is forwarded to the run, and what is refused before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgefuse.errors import SettingsError
from edgefuse.frames import FusedFrame
from edgefuse.settings.region import RegionSettings
from edgefuse.telemetry.live import Info
from edgefuse.telemetry.regions import Regions
from tests.web.conftest import TOKEN, Served

pytest.importorskip("edgefuse.web.app")
Serve = Callable[..., Served]
_JSON = {"Content_Type": "application/json"}


def post(page: Served, path: str, body: Any, **headers: str) -> tuple[int, str]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with page.ask("POST", path, data, **(headers or _JSON)) as answer:
        return answer.status, answer.read().decode()


def test_a_run_without_a_file_says_so(serve: Serve) -> None:
    page = serve()
    for path in ("/settings.json", "/calibration.json"):
        status, text = page.get(path)
        assert status == 409
        assert b"--config FILE" in text
    assert post(page, "/settings", {"digest": "x", "values": {}})[0] == 409
    assert post(page, "/calibration", {"do": "start", "distance_m": None})[0] == 409
    assert page.get("/calibration.png")[0] == 404


def test_changes_are_forwarded_and_a_refusal_is_one_sentence(serve: Serve) -> None:
    page, asked = serve(), []

    def change(given: Any) -> dict[str, Any]:
        asked.append(given)
        if "run.view" in given["values"]:
            raise SettingsError("run.view = 'x': no such view")
        return {"changed": True, "digest": "new"}

    page.live.register_command("change", change)
    page.live.register_command("settings", lambda _: {"digest": "old", "settings": []})
    assert page.json("/settings.json") == {"digest": "old", "settings": []}
    polygon = " ".join(f"{k % 100}.25%,{k % 90}.5%" for k in range(100))
    assert post(page, "/settings", {"digest": "old", "values": {"region.a.shape": polygon}}) == (200, '{"changed": true, "digest": "new"}')
    assert post(page, "/settings", {"digest": "old", "values": {"run.view": "x"}}) == (409, "run.view = 'x': no such view\n")
    for wrong in (b"", b"{}", b"[]", {"digest": 1, "values": {}}, {"digest": "", "values": []}, {"digest": "", "values": {}, "x": 1}):
        assert post(page, "/settings", wrong)[0] == 400
    assert post(page, "/settings", {"digest": "old", "values": {}}, Content_Type="text/plain")[0] == 400
    assert post(page, "/settings", {"digest": "old", "values": {"x": "y" * 17000}})[0] == 413
    assert len(asked) == 2


def test_a_refusal_has_no_control_characters(serve: Serve) -> None:
    page = serve()

    def refuse(given: Any) -> dict[str, Any]:
        raise SettingsError(f"{next(iter(given.get('values') or [given.get('view')]))}: no such name")

    for command in ("change", "view"):
        page.live.register_command(command, refuse)
    expected = (409, "region.a\\r\\n\\x1b[2J: no such name\n")
    assert post(page, "/settings", {"digest": "", "values": {"region.a\r\n\x1b[2J": 1}}) == expected
    assert post(page, "/view", {"view": "region.a\r\n\x1b[2J"}) == expected
    status, text = page.get("/picture.png?view=a%0Ab%1B")
    assert status == 400
    assert text[:-1].decode().isprintable()


@pytest.mark.parametrize(
    ("path", "body"), [("/settings", {"digest": "", "values": {}}), ("/calibration", {"do": "start", "distance_m": None})]
)
def test_changes_need_the_token_and_the_same_origin(serve: Serve, path: str, body: Any) -> None:
    page, asked = serve(token=TOKEN), []
    for command in ("change", "calibrate"):
        page.live.register_command(command, lambda given: asked.append(given) or {})
    assert post(page, path, body)[0] == 401
    bearer = {"Authorization": f"Bearer {TOKEN}", **_JSON}
    assert post(page, path, body, **bearer, Origin="http://evil.example")[0] == 403
    assert post(page, path, body, **bearer, Sec_Fetch_Site="cross-site")[0] == 403
    assert post(page, path, body, **{**bearer, "Content_Type": "application/x-www-form-urlencoded"})[0] == 400
    assert asked == []
    assert post(page, path, body, **bearer)[0] == 200
    assert page.ask("GET", path, Authorization=f"Bearer {TOKEN}").status == 405


def test_a_calibration_is_asked_for_and_its_picture_sent(serve: Serve) -> None:
    page, asked = serve(), []
    page.live.register_command("calibrate", lambda given: asked.append(given) or {"state": "collecting"})
    page.live.register_command("calibration", lambda given: {"png": b"\x89PNG"} if given else {"state": "done"})
    assert post(page, "/calibration", {"do": "start", "distance_m": 2.5})[0] == 200
    assert post(page, "/calibration", {"do": "save", "distance_m": None})[0] == 200
    for wrong in ({"do": "start"}, {"do": 1, "distance_m": None}, {"do": "start", "distance_m": "2"}):
        assert post(page, "/calibration", wrong)[0] == 400
    assert asked == [{"do": "start", "distance_m": 2.5}, {"do": "save", "distance_m": None}]
    assert page.json("/calibration.json") == {"state": "done"}
    assert page.get("/calibration.png") == (200, b"\x89PNG")


def test_regions_with_values_outlines_and_their_place_in_the_picture(serve: Serve, plain: FusedFrame, tmp_path: Path) -> None:
    page = serve()
    table = {
        "all": RegionSettings(shape="50%x50%+25%+25%"),
        "spot": RegionSettings(shape="32,48"),
        "far": RegionSettings(shape="500,500 600,600 500,600"),
    }
    measured = Regions(table, page.live, Info("test", 25.0, True, {}))
    page.facts["region"] = measured.report()
    assert page.json("/regions.json")["regions"][0]["outline"] == []  # no frame yet
    page.live.write(plain)
    page.facts["region"] = measured.report()
    page.live._report = None
    told = page.json("/regions.json")
    whole, spot, far = told["regions"]
    assert whole["outline"] == [[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]]
    assert spot["outline"] == [[32.5 / 128, 48.5 / 96]]
    assert spot["mean"]["value"] == 40.0
    assert "outside" in far["fault"]
    assert told["to_picture"] == told["to_infrared"] == np.eye(3).tolist()
    # with a calibration: the infrared frame of 64x48 fills the right half of the picture
    path = tmp_path / "calibration.toml"
    path.write_text(
        'format = 1\nvisible_size = [128, 96]\ninfrared_size = [64, 48]\nmethod = "points"\nerror_px = 0.5\n'
        "made = 2026-01-01\nimages = []\n"
        "homography = [[1.0, 0.0, 64.0], [0.0, 2.0, 0.5], [0.0, 0.0, 1.0]]\n"
    )
    page.facts["calibration"] = str(path)
    page.live._report = None
    told = page.json("/regions.json")
    corners = np.array(told["to_picture"]) @ np.array([[0, 0, 1], [1, 1, 1]]).T
    assert pytest.approx(np.array([[0.5, 0.0], [1.0, 1.0]]), abs=1e-9) == corners[:2].T
    assert np.array(told["to_infrared"]) @ np.array(told["to_picture"]) == pytest.approx(np.eye(3), abs=1e-9)
    measured.close()
