"""Lists all fusion metrics with name, unit and direction; computes several at once, and mean ranks."""

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
    """A fusion metric.

    name: of the function in `edgefuse.metrics.fusion`. unit: "" for a dimensionless value. group: source of the definition. ranked: whether
    it counts in mean ranks; False for a second name of another metric. function: takes pictures. measure: takes planes.
    """

    name: str
    unit: str
    better: Better
    group: Group
    ranked: bool
    function: Callable[[Image, Image, Image], float]
    measure: Measure

    @property
    def label(self) -> str:
        """Heading of a column: the name without its group."""
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
    """Return the names of the metrics of these groups, in the order of `METRICS`."""
    return [name for name, metric in METRICS.items() if metric.group in groups]


def vifb(visible: Image, infrared: Image, fused: Image) -> dict[str, float]:
    """Compute VIFB's thirteen metrics by name. Pictures: as for each of them. Raises InputError below 11 x 11 pixels."""
    return compare(Inputs(visible, infrared), fused, "vifb")


def textbook(visible: Image, infrared: Image, fused: Image) -> dict[str, float]:
    """Compute the twelve metrics of `classic` by name. Pictures: as for each of them. Raises InputError below 41 x 41 pixels."""
    return compare(Inputs(visible, infrared), fused, "textbook")


def compare(inputs: Inputs, fused: Image, *groups: Group) -> dict[str, float]:
    """Compute the metrics of these groups by name.

    Arrays derived from a picture are computed once, those of `inputs` once for all calls.
    """
    values: dict[str, float] = {}
    if "vifb" in groups:
        channels = [_measured("vifb", *planes) for planes in inputs.channels(fused, benchmark.SMALLEST)]
        values = {name: float(np.mean([channel[name] for channel in channels])) for name in names("vifb")}
        # not a mean over channels, because VIFB counts the differences between channels, too
        values["vifb_sf"] = benchmark.spatial_frequency(fused)
    if "textbook" in groups:
        values |= _measured("textbook", *inputs.lumas(fused, classic.SMALLEST))
    return values


def _measured(group: Group, *planes: object) -> dict[str, float]:
    done: dict[Measure, float] = {}
    for name in names(group):
        measure = METRICS[name].measure
        if measure not in done:
            done[measure] = measure(*planes)  # type: ignore[arg-type]
    return {name: done[METRICS[name].measure] for name in names(group)}


def ranks(values: Iterable[float], better: Better) -> list[float]:
    """Return the rank of each value, 1 is best. Equal values share the mean of their ranks; NaN is last."""
    keys = [math.inf if math.isnan(v) else -v if better == "higher" else v for v in values]
    return [sum(other < key for other in keys) + (1 + sum(other == key for other in keys)) / 2 for key in keys]


def mean_rank(table: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return each method's mean rank over the ranked metrics in the table, 1 is best; NaN without such metrics.

    table: method -> metric -> value, with the same metrics for each method. Names that are not fusion metrics are ignored.
    """
    first = next(iter(table.values()), {})
    columns = [METRICS[name] for name in first if name in METRICS and METRICS[name].ranked]
    placed = [ranks([row[metric.name] for row in table.values()], metric.better) for metric in columns]
    return {method: float(np.mean([column[k] for column in placed])) if placed else math.nan for k, method in enumerate(table)}
