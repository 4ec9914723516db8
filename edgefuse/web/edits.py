"""Changes from the page: the settings file's values, regions, and where those are in the picture."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import numpy as np
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from edgefuse.errors import SettingsError
from edgefuse.events import Facts
from edgefuse.frames import FusedFrame
from edgefuse.telemetry.live import Live
from edgefuse.telemetry.report_types import reported
from edgefuse.util import shape
from edgefuse.util.zone import Zone
from edgefuse.web.posted import posted_object
from edgefuse.web.views import ViewRenderer

_MOST_BYTES = 16384  # of a change: a polygon of 100 points has 2000
_PATIENCE_S = 60.0  # a change is checked by loading the model, which takes a small board some seconds
_NOT_SET_UP = "this run has no settings file; start it with --config FILE\n"


class Edits:
    """Routes of changes."""

    def __init__(self, live: Live, do: Callable[[str, Facts, float], Awaitable[Response]]) -> None:
        """do: runs a command of the run, and answers its result within so many seconds."""
        self._live, self._do_within = live, do

    async def _do(self, command: str, given: Facts) -> Response:
        return await self._do_within(command, given, _PATIENCE_S)

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/settings.json", self._settings, methods=["GET"]),
            Route("/settings", self._change, methods=["POST"]),
            Route("/calibration.json", self._calibration, methods=["GET"]),
            Route("/calibration.png", self._calibration_picture, methods=["GET"]),
            Route("/calibration", self._calibrate, methods=["POST"]),
        ]

    async def _settings(self, _: Request) -> Response:
        if "settings" not in self._live.commands:
            return PlainTextResponse(_NOT_SET_UP, 409)
        return await self._do("settings", {})

    async def _change(self, request: Request) -> Response:
        given, status = await posted_object(request, {"digest": str, "values": dict}, _MOST_BYTES)
        if given is None:
            return PlainTextResponse('expected JSON: {"digest": TEXT, "values": {KEY: VALUE}}\n', status)
        if "change" not in self._live.commands:
            return PlainTextResponse(_NOT_SET_UP, 409)
        return await self._do("change", given)

    async def _calibration(self, _: Request) -> Response:
        if "calibration" not in self._live.commands:
            return PlainTextResponse(_NOT_SET_UP, 409)
        return await self._do("calibration", {})

    async def _calibration_picture(self, _: Request) -> Response:
        png = b"" if "calibration" not in self._live.commands else self._live.run_command("calibration", {"picture": True})["png"]
        return Response(png, media_type="image/png") if png else PlainTextResponse("no such picture\n", 404)

    async def _calibrate(self, request: Request) -> Response:
        given, status = await posted_object(request, {"do": str, "distance_m": (int, float, type(None))})
        if given is None:
            return PlainTextResponse('expected JSON: {"do": "start", "save" or "discard", "distance_m": NUMBER or null}\n', status)
        if "calibrate" not in self._live.commands:
            return PlainTextResponse(_NOT_SET_UP, 409)
        return await self._do("calibrate", given)


def regions(live: Live, renderer: ViewRenderer) -> dict[str, object]:
    """Return the regions with their newest values and their outlines, and the mapping from the picture to the infrared frame and back.

    Outlines are points in shares of the infrared frame's width and height; mappings are homographies between such shares of the picture
    and of the infrared frame. They ignore lens distortion. In the renderer's thread.
    """
    newest, report = live.newest, live.report()
    renderer.calibrate(report.get("calibration"))
    to_picture = renderer.to_picture()
    known = reported(report).get("region") or {}
    return {
        "regions": [{"name": name, "outline": _outline(newest[1] if newest else None, one["shape"]), **one} for name, one in known.items()],
        "to_picture": to_picture.tolist(),
        "to_infrared": np.linalg.inv(to_picture).tolist(),
    }


def _outline(fused: FusedFrame | None, text: str) -> list[tuple[float, float]]:
    """Return a region's points in shares of the infrared frame; [] where that is not known yet, or where it lies outside."""
    if fused is None:
        return []
    try:
        place = shape.parse(text)
    except SettingsError:
        return []
    width, height = fused.pair.infrared.size
    if isinstance(place, Zone):
        bounds = place.slices((height, width))
        if bounds is None:
            return []
        rows, columns = bounds
        left, right = columns.start / width, columns.stop / width
        top, bottom = rows.start / height, rows.stop / height
        return [(left, top), (right, top), (right, bottom), (left, bottom)]
    return [((x + 0.5) / width, (y + 0.5) / height) for x, y in place.pixels(height, width)]
