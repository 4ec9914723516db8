"""Chooses the runtime, precision and threads for a model, and loads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefuse import __version__, registry
from edgefuse.board.limits import usable_cores
from edgefuse.errors import EdgeFuseError, MissingDependencyError, ModelError, SettingsError
from edgefuse.runtimes import tuned
from edgefuse.runtimes.base import Arrays, Runtime
from edgefuse.runtimes.tuned import Tuned
from edgefuse.util import compiled
from edgefuse.zoo import Card, ModelFile

# fastest first, by the precision that a card prefers: MobileFuse at 256 x 256 took 20 and 25 ms in int8, 206 ms in NumPy's fp32, on one
# x86-64 core (docs/research/results.md)
PREFERENCE = {"int8": ("litert", "onnx", "numpy"), "fp32": ("onnx", "litert", "numpy")}
# below so many MACs per pixel the compiled numpy runtime is as fast as onnxruntime, needs fewer instructions on a Pi and 28 MB less
_SMALL = 100


def _preferred(card: Card, precision: str) -> tuple[str, ...]:
    if precision == "fp32" and compiled.library() and card.cost.get("macs_per_pixel", _SMALL) < _SMALL:
        return "numpy", "onnx", "litert"
    return PREFERENCE.get(precision, PREFERENCE["int8"])


@dataclass(frozen=True, slots=True)
class Choice:
    """A loaded runtime and why it was chosen (`why`, one line). file: None for a closed-form model, which needs no runtime.

    warning: why `auto` ignores the choice stored by `edgefuse bench --tune`, one line; empty if it follows it or there is none.
    """

    runtime: Runtime
    name: str
    version: str
    precision: str
    threads: int
    file: ModelFile | None
    why: str
    warning: str = ""

    def tensor(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert a plane (H, W), or several (C, H, W), to the layout of the model's file."""
        assert self.file is not None
        return self.file.tensor(planes)

    def planes(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Convert an output of the model's file to (C, H, W)."""
        assert self.file is not None
        return self.file.planes(tensor)


class NoRuntime(Runtime):
    """Placeholder for closed-form models, which have no network to run."""

    def __init__(self) -> None: ...

    @classmethod
    def version(cls) -> str:
        return __version__

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        return {}


def default_threads() -> int:
    """Return the number of cores this process may use, at most four: more do not help at camera resolutions."""
    return min(4, usable_cores())


def present() -> dict[str, str]:
    """Return by runtime name its version, or "missing: ..." with the reason."""
    versions = {}
    for name in registry.names("edgefuse.runtimes"):
        try:
            versions[name] = registry.get("edgefuse.runtimes", name).version()
        except MissingDependencyError as e:
            versions[name] = f"missing: {e}"
    return versions


def choose(card: Card, name: str = "auto", precision: str | None = None, threads: int | None = None) -> Choice:
    """Load `card`'s model with the runtime `name` at `precision` (None: the card's default, or what the runtime has).

    `auto` uses the choice that `edgefuse bench --tune` stored for this board (and its threads, if `threads` is None), else the installed
    runtime that is fastest on most machines and that the model has a file for. Raises SettingsError for an unknown name, ModelError if
    the model has no such file, MissingDependencyError if the runtime is not installed.
    """
    remembered, warning = tuned.recall(card) if name == "auto" else (None, "")
    if remembered is not None and precision in (None, remembered.precision):
        try:
            return _follow(card, remembered, threads)
        except EdgeFuseError as e:
            warning = f"what bench --tune chose on {remembered.on} can't be used ({e}); run edgefuse bench --tune again"
    return replace(_prefer(card, name, precision, threads or default_threads()), warning=warning)


def _follow(card: Card, remembered: Tuned, threads: int | None) -> Choice:
    threads = threads or remembered.threads
    if not card.files:
        return _closed_form(threads, remembered.why)
    file = card.file(remembered.runtime, remembered.precision)
    if file is None:
        raise ModelError(f"{card.name} has no {remembered.precision} file for {remembered.runtime}")
    kind = registry.get("edgefuse.runtimes", remembered.runtime)
    runtime = kind(card, file, threads)
    return Choice(runtime, remembered.runtime, kind.version(), file.precision, threads, file, remembered.why)


def _closed_form(threads: int, why: str) -> Choice:
    return Choice(NoRuntime(), "closed form", __version__, "8 bit", threads, None, why)


def _prefer(card: Card, name: str, precision: str | None, threads: int) -> Choice:
    if not card.files:
        if name != "auto" or precision:
            raise SettingsError(f"model {card.name} is a closed form: it takes no runtime and no precision; leave them out")
        return _closed_form(threads, "it needs no runtime")
    candidates: Iterable[str]
    if name == "auto":
        preferred = _preferred(card, precision or card.default_precision)
        candidates = chain(preferred, _others(preferred))
    elif registry.known("edgefuse.runtimes", name):
        candidates = [name]
    else:
        raise SettingsError(f"unknown runtime '{name}'; choose from auto, {', '.join(registry.names('edgefuse.runtimes'))}")
    rejected = []
    for candidate in candidates:
        file = _file(card, candidate, precision)
        if file is None:
            rejected.append(f"{candidate} has no {precision or 'matching'} file of {card.name}")
            continue
        kind = registry.get("edgefuse.runtimes", candidate)
        try:
            version = kind.version()
            runtime = kind(card, file, threads)
        except MissingDependencyError as e:
            if name != "auto":
                raise
            rejected.append(f"{e.package} is not installed")
            continue
        reason = "as asked for" if name != "auto" else "the fastest installed"
        why = "; ".join([f"{reason}", *rejected])
        return Choice(runtime, candidate, version, file.precision, threads, file, why)
    available = ", ".join(sorted(f"{f.runtime} {f.precision}" for f in card.files))
    raise ModelError(f"model {card.name}: {'; '.join(rejected)}; it comes as {available}")


def _others(preferred: tuple[str, ...]) -> Iterator[str]:
    """Yield the runtimes that are not `preferred`; looked up lazily."""
    yield from (n for n in registry.names("edgefuse.runtimes") if n not in preferred)


def _file(card: Card, runtime: str, precision: str | None) -> ModelFile | None:
    if precision is not None:
        return card.file(runtime, precision)
    return card.file(runtime, card.default_precision) or next((f for f in card.files if f.runtime == runtime), None)
