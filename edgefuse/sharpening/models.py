"""What sharpens, by name. A further one is a line here: a module with `prepare` and `sharpen` as `sharpen.py` has them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from edgefuse.errors import SettingsError

MODELS = {"sharpen-edge": "edgefuse.sharpening.sharpen", "csakd-student": "edgefuse.sharpening.csakd"}


def model(name: str) -> Any:
    """The module of a model. Raises SettingsError for an unknown one."""
    if name not in MODELS:
        raise SettingsError(f"unknown model '{name}' that sharpens; there is {', '.join(MODELS)}")
    return import_module(MODELS[name])
