"""Every fusion metric with its name, unit and direction; all of them at once; and mean ranks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgefuse.metrics.fusion import benchmark, classic
from edgefuse.metrics.fusion.benchmark import Measure
from edgefuse.metrics.planes import Image, Inputs

Group = Literal["vifb", "textbook"]
Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Metric:
    """name: as the function in `edgefuse.metrics.fusion`. unit: "" for a pure number. group: whose definition it is.
    ranked: whether it counts in a mean rank, False where it is another metric under a second name."""

    name: str
    unit: str
    better: Better
    group: Group
    ranked: bool
    function: Callable[[Image, Image, Image], float]
    measure: Measure

    @property
    def label(self) -> str:
        """For the head of a column: without the group."""
        return self.name.removeprefix("vifb_")


def _vifb(name: str, measure: Measure, unit: str = "", better: Better = "higher") -> Metric:
    return Metric(name, unit, better, "vifb", True, getattr(benchmark, name), measure)


def _textbook(name: str, measure: Measure, unit: str = "", better: Better = "higher", ranked: bool = True) -> Metric:
    return Metric(name, unit, better, "textbook", ranked, getattr(classic, name), measure)


METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        _vifb("vifb_ag", benchmark.average_gradient, "levels"),
        _vifb("vifb_ce", benchmark.cross_entropy, "bits", "lower"),
        _vifb("vifb_ei", benchmark.edge_intensity, "levels"),
        _vifb("vifb_en", benchmark.entropy, "bits"),
        _vifb("vifb_mi", benchmark.mutual_information, "nats"),
        _vifb("vifb_psnr", benchmark.psnr, "dB"),
        _vifb("vifb_qabf", benchmark.qabf),
        _vifb("vifb_qcb", benchmark.qcb),
        _vifb("vifb_qcv", benchmark.qcv, "levels^2", "lower"),
        _vifb("vifb_rmse", benchmark.rmse, "levels/px^.5", "lower"),
        _vifb("vifb_sf", classic.frequency, "levels"),
        _vifb("vifb_ssim", benchmark.ssim_sum),
        _vifb("vifb_sd", benchmark.deviation, "levels"),
        _textbook("psnr", classic.mean_psnr, "dB"),
        _textbook("rmse", classic.mean_rmse, "levels", "lower"),
        _textbook("ssim", classic.mean_ssim),
        _textbook("ssim_a", classic.mean_ssim, ranked=False),
        _textbook("vif", classic.vif_sum),
        _textbook("q_abf", classic.edges_kept),
        _textbook("n_abf", classic.artefacts, "", "lower"),
        _textbook("en", benchmark.entropy, "bits"),
        _textbook("mi", classic.information_sum, "bits"),
        _textbook("sd", benchmark.deviation, "levels"),
        _textbook("sf", classic.frequency, "levels"),
        _textbook("ag", classic.forward_gradient, "levels"),
    )
}


def names(*groups: Group) -> list[str]:
    """The metrics of these groups, in their order."""
    return [name for name, metric in METRICS.items() if metric.group in groups]


def vifb(visible: Image, infrared: Image, fused: Image) -> dict[str, float]:
    """VIFB's thirteen by name. Pictures as for each of them; raises InputError below 11 x 11 pixels."""
    return compare(Inputs(visible, infrared), fused, "vifb")


def textbook(visible: Image, infrared: Image, fused: Image) -> dict[str, float]:
    """The twelve of `classic` by name. Pictures as for each of them; raises InputError below 41 x 41 pixels."""
    return compare(Inputs(visible, infrared), fused, "textbook")


def compare(inputs: Inputs, fused: Image, *groups: Group) -> dict[str, float]:
    """The metrics of these groups, by name; what is derived from a picture is worked out once, from the inputs once for all calls."""
    found: dict[str, float] = {}
    if "vifb" in groups:
        of_channel = [_measured("vifb", *planes) for planes in inputs.channels(fused, benchmark.SMALLEST)]
        found = {name: float(np.mean([values[name] for values in of_channel])) for name in names("vifb")}
        # the one that is no mean over channels: it counts their seams
        found["vifb_sf"] = benchmark.spatial_frequency(fused)
    if "textbook" in groups:
        found |= _measured("textbook", *inputs.lumas(fused, classic.SMALLEST))
    return found


def _measured(group: Group, *planes: object) -> dict[str, float]:
    done: dict[Measure, float] = {}
    for name in names(group):
        measure = METRICS[name].measure
        if measure not in done:
            done[measure] = measure(*planes)  # type: ignore[arg-type]
    return {name: done[METRICS[name].measure] for name in names(group)}


def ranks(values: Iterable[float], better: Better) -> list[float]:
    """The rank of each value, 1 is best; equal values share the mean of their places, and a NaN is last."""
    keys = [math.inf if math.isnan(v) else -v if better == "higher" else v for v in values]
    return [sum(other < key for other in keys) + (1 + sum(other == key for other in keys)) / 2 for key in keys]


def mean_rank(table: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """{method: {metric: value}} -> {method: mean of its ranks over the ranked metrics that the table holds}, 1 is best, 0 metrics NaN.

    Every row holds the same metrics; names that are no fusion metric's are left out.
    """
    first = next(iter(table.values()), {})
    columns = [METRICS[name] for name in first if name in METRICS and METRICS[name].ranked]
    placed = [ranks([row[metric.name] for row in table.values()], metric.better) for metric in columns]
    return {method: float(np.mean([column[k] for column in placed])) if placed else math.nan for k, method in enumerate(table)}
