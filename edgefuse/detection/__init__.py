"""Finds people in infrared frames: detectors, their names, and the tracks of what they find (docs/how-to/detection.md)."""

from __future__ import annotations

from edgefuse import registry, zoo
from edgefuse.detection.base import Detection, Detector, DetectorOptions, Look
from edgefuse.errors import ModelError, SettingsError

__all__ = ["TASK", "Detection", "Detector", "DetectorOptions", "Look", "check", "open_detector"]

TASK = "detection"  # of the model cards that can be named as a detector
_GROUP, _RUNTIMES = "edgefuse.detectors", "edgefuse.runtimes"


def check(options: DetectorOptions) -> None:
    """Check that a detector can be opened, without loading a model. Raises SettingsError, ModelError, MissingDependencyError.

    An unknown runtime is refused with any detector, also with one that needs none.
    """
    if options.runtime != "auto" and not registry.known(_RUNTIMES, options.runtime):
        raise SettingsError(f"detect.runtime = {options.runtime!r}: unknown; choose from auto, {', '.join(registry.names(_RUNTIMES))}")
    if not registry.known(_GROUP, options.name):
        from edgefuse.detection import network

        network.check(_card(options.name), options)


def open_detector(options: DetectorOptions) -> Detector:
    """Open the detector `options.name`: a registered one, or a model by its card's name or folder. Raises as `check`."""
    if registry.known(_GROUP, options.name):
        kind: type[Detector] = registry.get(_GROUP, options.name)
        return kind(options)
    from edgefuse.detection.network import NetworkDetector

    return NetworkDetector(_card(options.name), options)


def _card(name: str) -> zoo.Card:
    try:
        card = zoo.find(name, TASK)
    except ModelError as e:
        if "/" in name:
            raise
        known = ", ".join([*registry.names(_GROUP), *(c.name for c in zoo.cards() if c.task == TASK)])
        raise SettingsError(f"unknown detector '{name}'; choose from {known} (or give a model's folder: ./NAME)") from e
    if card.task != TASK:
        raise ModelError(f"model {card.name} is for {card.task}; [detect] needs one for {TASK}")
    return card
