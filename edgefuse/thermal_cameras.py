"""Thermal cameras known by their USB id and the frame sizes that tell them from a webcam with the same controller."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ThermalCamera:
    """sizes: (width, height) of its frames, any of which gives it away."""

    name: str
    sizes: frozenset[tuple[int, int]]


_LEPTON = ThermalCamera("PureThermal with a FLIR Lepton", frozenset({(160, 120), (160, 122), (80, 60), (80, 63)}))
# image above, temperatures below; Realtek's controller is in ordinary webcams too
_TWO_HALVES = ThermalCamera("Topdon TC001, InfiRay P2 Pro or a relative", frozenset({(256, 384)}))
KNOWN = {"1e4e:0100": _LEPTON, "0bda:5830": _TWO_HALVES, "0bda:5840": _TWO_HALVES}


def identify(usb: str | None, sizes: Iterable[tuple[int, int]]) -> ThermalCamera | None:
    """The camera with this id (vendor:product, lower case) and one of these frame sizes; None for any other."""
    known = KNOWN.get(usb or "")
    return known if known and known.sizes & set(sizes) else None
