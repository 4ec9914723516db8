"""A short summary of a run's state, sent every few seconds by MQTT and the JSON lines."""

from __future__ import annotations

import time
from collections.abc import Mapping

import psutil

from edgefuse.board.state import temperature_c
from edgefuse.board.throttling import read_throttling
from edgefuse.telemetry.live import Live
from edgefuse.telemetry.report import process_age_s
from edgefuse.telemetry.report_types import STATISTICS, AlarmReport, Report, reported
from edgefuse.util.printable import clean, line

_GONE = ("starting", "frozen", "lost", "retrying")  # states of a camera without frames


class Vitals:
    """Makes summaries at an interval; rates are since the previous one."""

    def __init__(self, live: Live) -> None:
        self._live, self._process = live, psutil.Process()
        self._sequence = 0
        self._report: Report | None = None
        self._fps: float | None = None

    def read(self) -> dict[str, object]:
        """Return JSON values with units in the keys, None where unknown. sequence counts from 0, so that lost summaries can be noticed."""
        report = self._live.report()
        self._count(report)
        sequence, self._sequence = self._sequence, self._sequence + 1
        return {
            "time_s": round(time.time(), 3),
            "sequence": sequence,
            "uptime_s": round(process_age_s(), 1),
            "frames_fused": report["frames"]["fused"],
            "frames_dropped": report["frames"]["dropped"],
            "fps": self._fps,
            "latency_p50_ms": {stage: ms["p50"] for stage, ms in report["latency_ms"].items()},
            "resident_mb": round(self._process.memory_info().rss / 1e6, 1),
            "processor_celsius": temperature_c(),
            "throttled": bool(read_throttling().now),
            **thermal(report),
            "regions": regions(report),
            **people(report),
            "cameras": {m: c["state"] for m, c in report.get("cameras", {}).items()},
            "alarms": alarm_states(report),
            "alarms_unavailable": unavailable_alarms(report),
            "recording": recording_state(report),
            "view": report.get("view"),
            "failing": clean(self._live.failing),
        }

    def _count(self, report: Report) -> None:
        before, self._report = self._report, report
        if not before or report is before:
            # the report changes at most once a second
            return
        frames = report["frames"]["fused"] - before["frames"]["fused"]
        seconds = report["elapsed_s"] - before["elapsed_s"]
        self._fps = round(frames / seconds, 3) if seconds > 0 else 0.0


def thermal(report: Report) -> dict[str, object]:
    """Return `infrared_state` and the hottest and coldest pixel of the newest raw infrared frame, with the unit in their keys, if any."""
    log = report.get("thermal")
    latest = (log and log.get("latest")) or {}
    unit = (log and log.get("unit")) or "celsius"
    ends = {f"{end}_{unit}": latest[end]["value"] if end in latest else None for end in ("hottest", "coldest")}
    return {"infrared_state": log and log.get("state"), **ends}


def regions(report: Report) -> dict[str, dict[str, float]]:
    """Return mean, minimum and maximum of each region that has some, with the unit in their keys."""
    return {
        name: {f"{statistic}_{region['unit']}": value["value"] for statistic in STATISTICS if (value := region[statistic])}
        for name, region in (reported(report).get("region") or {}).items()
        if region["unit"]
    }


def people(report: Report) -> dict[str, object]:
    """Return the people now (number, None where it isn't known, and why; tracks) and the number so far; nothing without [detect]."""
    detect = report.get("detect")
    if not detect:
        return {}
    why = unavailable_people(report)
    return {
        "people": None if why else detect.get("people"),
        "people_unavailable": why or None,
        "people_so_far": detect.get("people_so_far"),
        "tracks": [] if why else detect.get("tracks"),
    }


def unavailable_people(report: Report) -> str:
    """Return why nobody knows how many people there are now, or "": no infrared frames, or frames that are not looked at.

    "", too, for a report without [detect], where nobody asks.
    """
    detect = report.get("detect")
    if not detect:
        return ""
    if fault := detect.get("fault") or detect.get("error"):
        return line(fault)
    if gone := _gone(report):
        return gone
    if (state := (report.get("output_states") or {}).get("detection")) and state["failing"]:
        return "the infrared frames are not looked at"
    return "no infrared frame was looked at yet" if detect.get("people") is None else ""


def recording_state(report: Report) -> str | None:
    """Return the recording's state; None without one."""
    part = report.get("recording")
    return part.get("state") if part else None


def alarms(report: Report) -> Mapping[str, AlarmReport]:
    """Return the report of each alarm by its name; empty without alarms."""
    part = report.get("alarm")
    return part.get("alarms", {}) if part else {}


def alarm_states(report: Report) -> dict[str, str]:
    """Return "quiet", "pending" or "raised" for each alarm."""
    return {name: alarm["state"] for name, alarm in alarms(report).items()}


def unavailable_alarms(report: Report) -> dict[str, str]:
    """Return the alarms that can't work now, and why: no degrees, no infrared frames, nobody who looks for people.

    While the shutter is closed they are only held.
    """
    gone, nobody_knows = _gone(report), unavailable_people(report)
    thermal = report.get("thermal")
    closed = thermal is not None and thermal.get("state") == "calibrating"
    why = {}
    for name, alarm in alarms(report).items():
        held = "" if closed or not alarm.get("held") else "the infrared camera gives no new picture"
        unseen = nobody_knows if alarm.get("measure") == "people" else ""
        if text := alarm.get("fault") or gone or unseen or held:
            why[name] = line(text)
    return why


def _gone(report: Report) -> str:
    """Return what is wrong with an infrared camera that gives no frames, or ""."""
    camera = (report.get("cameras") or {}).get("infrared")
    return f"the infrared camera is {camera['state']}" if camera and camera["state"] in _GONE else ""
