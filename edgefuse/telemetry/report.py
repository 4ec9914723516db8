"""Measurements of a run: frames, FPS, latency per stage, memory, bytes, bandwidth. Memory use is constant."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from edgefuse.errors import FrameError
from edgefuse.frames import Frame, FusedFrame
from edgefuse.sinks.guard import SinkReport
from edgefuse.sources.base import RawRecordingReport
from edgefuse.telemetry.report_types import FramesReport, RecordingReport, Report, StreamReport, failures, reported
from edgefuse.thermal.temperature_report import ThermalLog, thermal_text
from edgefuse.util.latency import Latency
from edgefuse.util.printable import line

BANDWIDTH_FPS = 30  # rate assumed in the paper's Table V
_MAX_LISTED = 100  # lost frames listed in the report; all are counted


def bandwidth_mb_s(bytes_in: float, bytes_out: float, fps: float = BANDWIDTH_FPS) -> dict[str, dict[str, float]]:
    """Return the link load of the paper's four scenarios (MobileFuse, Table V), in MB/s (10^6 bytes) up from and down to the device.

    bytes_in, bytes_out: mean bytes of a pair and of a fused frame, uncompressed.
    """
    up, back = round(bytes_in * fps / 1e6, 3), round(bytes_out * fps / 1e6, 3)
    return {
        "remote_computing_result_on_device": {"upload": up, "download": back},
        "remote_computing_result_remote": {"upload": up, "download": 0.0},
        "edge_computing_result_on_device": {"upload": 0.0, "download": 0.0},
        "edge_computing_result_remote": {"upload": back, "download": 0.0},
    }


def peak_resident_bytes() -> int:
    """Return the process's peak memory: VmHWM on Linux, the current resident set elsewhere."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    import psutil

    return int(psutil.Process().memory_info().rss)


def process_age_s() -> float:
    """Return seconds since this process began, to 10 ms on Linux; elsewhere as exact as the system's value.

    Linux counts process start in ticks since boot. As a date, as psutil has it, it is off by up to a second, because the kernel gives the
    time of boot in whole seconds.
    """
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError):
        import psutil

        return time.time() - float(psutil.Process().create_time())


class Telemetry:
    """Statistics of a run. The pipeline's threads report each event; `report` can be called at any time."""

    def __init__(self) -> None:
        self.frames_fused = 0
        self.dropped: dict[str, int] = {}
        self.latency: dict[str, Latency] = {}
        self._lost: list[dict[str, str]] = []
        self.thermal = ThermalLog()
        self._bytes_in = self._bytes_out = self._bytes_fused_from = 0
        self._first_ns = self._last_ns = 0
        self._first_since_start_s: float | None = None
        self._lock = threading.Lock()

    def read(self, nbytes: int, ns: int) -> None:
        """Count a pair of `nbytes` that was read in `ns`."""
        with self._lock:
            self._bytes_in += nbytes
            self._stage("read", ns)

    def infrared(self, frame: Frame) -> None:
        """Process the unchanged infrared frame of a pair that was read."""
        with self._lock:
            self.thermal.add(frame)

    def lost(self, error: FrameError) -> None:
        """Count a pair that was dropped."""
        with self._lock:
            self.dropped[error.cause] = self.dropped.get(error.cause, 0) + 1
            if len(self._lost) < _MAX_LISTED:
                self._lost.append({"name": error.name, "cause": error.cause, "message": str(error)})

    def fused(self, frame: FusedFrame, write_ns: int) -> None:
        """Count a frame that was fused and written by every sink in `write_ns`."""
        now = time.perf_counter_ns()
        with self._lock:
            self.frames_fused += 1
            self._bytes_fused_from += frame.pair.nbytes
            self._bytes_out += frame.data.nbytes
            if self.frames_fused == 1:
                self._first_ns = now
                self._first_since_start_s = process_age_s()
            self._last_ns = now
            for stage, ns in frame.stages_ns.items():
                self._stage(stage, ns)
            self._stage("write", write_ns)

    def _stage(self, name: str, ns: int) -> None:
        self.latency.setdefault(name, Latency()).add(ns)

    @property
    def fps(self) -> float | None:
        """Fused frames per second: n frames span n - 1 intervals. None before the second frame."""
        elapsed = self._last_ns - self._first_ns
        return (self.frames_fused - 1) * 1e9 / elapsed if self.frames_fused > 1 and elapsed > 0 else None

    @property
    def frames_dropped(self) -> int:
        """Total number of dropped pairs."""
        return sum(self.dropped.values())

    @property
    def first_loss(self) -> str:
        """Message of the first lost pair; empty where none was lost."""
        return self._lost[0]["message"] if self._lost else ""

    def report(self) -> FramesReport:
        """Return all measurements, with units in the keys."""
        with self._lock:
            return self._summary()

    def _summary(self) -> FramesReport:
        n = max(self.frames_fused, 1)
        fps, first = self.fps, self._first_since_start_s
        return {
            "frames": {"in": self.frames_fused + self.frames_dropped, "fused": self.frames_fused, "dropped": self.frames_dropped},
            "dropped_by_cause": dict(self.dropped),
            "dropped_frames": list(self._lost),
            "fps": None if fps is None else round(fps, 3),
            "elapsed_s": round((self._last_ns - self._first_ns) / 1e9, 6),
            "first_frame_after_start_s": None if first is None else round(first, 3),
            "latency_ms": {stage: latency.summary_ms() for stage, latency in self.latency.items()},
            "peak_resident_mb": round(peak_resident_bytes() / 1e6, 1),
            "bytes": {"in": self._bytes_in, "out": self._bytes_out},
            "thermal": self.thermal.report(),
            "bandwidth_fps": BANDWIDTH_FPS,
            "bandwidth_mb_s": bandwidth_mb_s(self._bytes_fused_from / n, self._bytes_out / n),
            "cpu_count": os.cpu_count(),
        }


def as_text(report: Report) -> str:
    """Format a report as aligned lines with units."""
    failed, report = failures(report), reported(report)
    frames, latency = report["frames"], report["latency_ms"]
    causes = _causes(report["dropped_by_cause"])
    fps = "not measured (needs two frames)" if report["fps"] is None else f"{report['fps']:.1f} FPS over {report['elapsed_s']:.2f} s"
    lines = [
        f"frames     {frames['in']} in, {frames['fused']} fused, {frames['dropped']} dropped" + (f" ({causes})" if causes else ""),
        f"speed      {fps}",
        "latency    " + "stage".ljust(10) + "".join(f"{k:>10}" for k in ("p50", "p95", "p99", "max")) + "   ms",
        *(
            " " * 11 + stage.ljust(10) + "".join(f"{values[k]:10.2f}" for k in ("p50", "p95", "p99", "max"))
            for stage, values in latency.items()
        ),
        f"memory     {report['peak_resident_mb']:.1f} MB peak resident",
        f"bytes      {report['bytes']['in'] / 1e6:.1f} MB in, {report['bytes']['out'] / 1e6:.1f} MB out (uncompressed)"
        + (f", {report['bytes']['written'] / 1e6:.1f} MB written to files" if report["bytes"].get("written") else ""),
        *(thermal_text(thermal) if (thermal := report["thermal"]) else ()),
        *(recording_text(report["record_raw"]) if report.get("record_raw") else ()),
        *ffmpeg_text(report),
        *sinks_text(report.get("sinks", {})),
        *(f"{'' if k else 'no report':11s}{name}: {line(why)}" for k, (name, why) in enumerate(failed.items())),
        f"bandwidth  at these frame sizes and {report['bandwidth_fps']} FPS, MB/s:   upload  download",
    ]
    return "\n".join([*lines, *bandwidth_text(report["bandwidth_mb_s"]), *cameras_text(report)])


def bandwidth_text(links: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Format what `bandwidth_mb_s` returns: a line per scenario with MB/s up and down."""
    lines = []
    for key, link in links.items():
        computing, _, needed = key.partition("_computing_")
        label = f"{computing} computing, {needed.replace('_', ' ')}"
        lines.append(" " * 11 + f"{label:40s}{link['upload']:10.2f}{link['download']:10.2f}")
    return lines


def recording_text(recording: RawRecordingReport) -> list[str]:
    """Format `RecordedSource.facts`."""
    r, lost = recording, f", {recording['dropped']} dropped: the disk was too slow" if recording["dropped"] else ""
    ratio = f", {r['bytes_raw'] / r['bytes']:.2f} times smaller than raw" if r["bytes_raw"] else ""
    return [f"recording  {r['pairs']} pairs in {r['bytes'] / 1e6:.1f} MB{ratio}{lost}"]


def ffmpeg_text(report: Report) -> list[str]:
    """Format `Recording.report` and `Streaming.report`."""
    lines = []
    if r := report.get("recording"):
        done = f"{r['frames']['recorded']} frames in {r['segments']} files, {r['bytes'] / 1e6:.1f} MB, in {r['folder']}"
        lines.append(f"recordings {done}{_missing_text(r, ('dropped', 'lost', 'unwritten'))}")
    if s := report.get("stream"):
        lines.append(f"stream     {s['frames']['sent']} frames to {s['url']}{_missing_text(s, ('dropped', 'lost'))}")
    return lines


def _missing_text(part: RecordingReport | StreamReport, causes: tuple[str, ...]) -> str:
    """Format missing frames by cause, and the error if any."""
    counts = _causes({c: part["frames"][c] for c in causes if part["frames"][c]})
    return "; ".join(("", *filter(None, (counts, part["trouble"]))))


def sinks_text(sinks: Mapping[str, SinkReport]) -> list[str]:
    """Format the sinks that lost frames."""
    lost = [
        f"{name}: {s['written']} frames written, {s['lost']} lost, set aside {s['faults']} times" for name, s in sinks.items() if s["lost"]
    ]
    return [f"{'' if k else 'sinks':11s}{text}" for k, text in enumerate(lost)]


def _causes(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {cause}" for cause, n in dropped.items())


def cameras_text(report: Report) -> list[str]:
    """Format `CamerasSource.report`; empty for other sources."""
    lines: list[str] = []
    for modality, camera in report.get("cameras", {}).items():
        rate = "" if camera["fps"] is None else f", {camera['fps']:.1f} FPS"
        dropped = sum(camera["dropped"].values())
        counts = f"{camera['received']} received, {camera['fused']} fused, {dropped} dropped"
        causes = f" ({_causes(camera['dropped'])})" if dropped else ""
        lines.append(f"{'' if lines else 'cameras':11s}{modality:10s}{camera['state']}{rate}: {counts}{causes}")
    if pairing := report.get("pairing"):
        fresh, held = pairing["fresh_skew_ms"], pairing["held_age_ms"]
        both_new = pairing["pairs"] - pairing["held"] - pairing["alone"]
        lines.append(
            f"pairing    {pairing['pairs']} pairs: {both_new} fresh, {fresh['p50']:.1f} ms apart (p50; "
            f"{fresh['max']:.1f} at most); {pairing['held']} held, {held['p50']:.1f} ms old (p50; {held['max']:.1f} at most); "
            f"{pairing['alone']} of one camera alone"
        )
    return lines
