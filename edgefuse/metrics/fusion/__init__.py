"""Fusion metrics: VIFB's thirteen as `vifb_*`, the textbook ones under plain names. docs/reference/metrics.md explains the differences.

>>> from edgefuse.metrics import fusion
>>> fusion.vifb_qabf(visible, infrared, fused)  # uint8 (H, W) or (H, W, 3) BGR, of one size
>>> fusion.vifb(visible, infrared, fused)       # all thirteen by name, faster than one by one
"""

from edgefuse.metrics.fusion.benchmark import (
    vifb_ag,
    vifb_ce,
    vifb_ei,
    vifb_en,
    vifb_mi,
    vifb_psnr,
    vifb_qabf,
    vifb_qcb,
    vifb_qcv,
    vifb_rmse,
    vifb_sd,
    vifb_sf,
    vifb_ssim,
)
from edgefuse.metrics.fusion.classic import ag, en, mi, n_abf, psnr, q_abf, rmse, sd, sf, ssim, ssim_a, vif
from edgefuse.metrics.fusion.intervals import Interval, intervals
from edgefuse.metrics.fusion.table import METRICS, Metric, compare, mean_rank, names, ranks, textbook, vifb
from edgefuse.metrics.planes import Inputs

__all__ = [
    "Inputs",
    "Interval",
    "METRICS",
    "Metric",
    "ag",
    "compare",
    "en",
    "intervals",
    "mean_rank",
    "mi",
    "n_abf",
    "names",
    "psnr",
    "q_abf",
    "ranks",
    "rmse",
    "sd",
    "sf",
    "ssim",
    "ssim_a",
    "textbook",
    "vif",
    "vifb",
    "vifb_ag",
    "vifb_ce",
    "vifb_ei",
    "vifb_en",
    "vifb_mi",
    "vifb_psnr",
    "vifb_qabf",
    "vifb_qcb",
    "vifb_qcv",
    "vifb_rmse",
    "vifb_sd",
    "vifb_sf",
    "vifb_ssim",
]
