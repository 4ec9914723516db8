"""Self-test of models: runs the golden pair of a model card on every installed runtime."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgefuse.errors import EdgeFuseError, MissingDependencyError, ModelError
from edgefuse.runtimes import choose
from edgefuse.zoo import Card, ModelFile


@dataclass(frozen=True, slots=True)
class Result:
    """Result of one file's test. difference: largest over all outputs, in [0, 1]; None if it did not run. status: ok, fail or missing."""

    model: str
    file: str
    runtime: str
    precision: str
    status: str
    difference: float | None
    tolerance: float
    note: str


def verify(card: Card, runtime: str | None = None, precision: str | None = None) -> list[Result]:
    """Run the golden pair on each of the card's files (of one runtime or precision, if given). Faults of a file do not raise."""
    results = []
    for file in card.files:
        if runtime not in (None, file.runtime) or precision not in (None, file.precision):
            continue
        tolerance, difference = card.tolerance.get(file.precision, 0.0), None
        try:
            difference, version = _difference(card, file)
            status, note = ("ok", version) if difference <= tolerance else ("fail", f"{version}: differs by more than {tolerance:.4f}")
        except MissingDependencyError as e:
            status, note = "missing", str(e)
        except EdgeFuseError as e:
            status, note = "fail", str(e)
        results.append(Result(card.name, file.path.name, file.runtime, file.precision, status, difference, tolerance, note))
    return results


def _difference(card: Card, file: ModelFile) -> tuple[float, str]:
    golden = _golden(card)
    choice = choose(card, file.runtime, file.precision, 1)
    try:
        inputs = {t.name: file.tensor(golden[t.name].astype(np.float32) / np.float32(255)) for t in card.inputs}
        outputs = choice.runtime.run(inputs)
    finally:
        choice.runtime.close()
    worst = 0.0
    for tensor in card.outputs:
        # compare an int8 file with its own recorded output if there is one, else with the fp32 reference
        own = f"{tensor.name}.{file.precision}.{file.runtime}"
        expected = golden[own if own in golden else f"{tensor.name}.fp32"].astype(np.float32) / 65535
        given = outputs[tensor.name]
        planes = file.planes(given) if given.ndim == 4 else given[0]  # a list of boxes or of scores has no layout
        worst = max(worst, float(np.abs(planes.reshape(expected.shape) - expected).max()))
    return worst, f"{choice.name} {choice.version}"


def _golden(card: Card) -> dict[str, NDArray[np.generic]]:
    assert card.golden is not None, "a card with files has one"
    try:
        with np.load(io.BytesIO(card.golden.verified()), allow_pickle=False) as arrays:
            return {k: arrays[k] for k in arrays.files}
    except (ValueError, zipfile.BadZipFile) as e:
        raise ModelError(f"{card.golden.path}: not a golden pair ({e}); restore it") from None
