"""Is there the memory for a frame of this size? Asked before the network runs, as the kernel's answer would be to end the process.

A card's cost table says what a large model takes: `peak_bytes_per_pixel`, by runtime and precision ("onnx_fp32"), measured as the growth
of the process from a small frame to a large one.
"""

from __future__ import annotations

import os

import psutil

from edgefuse import zoo
from edgefuse.board.limits import cgroup_limit
from edgefuse.errors import ModelError
from edgefuse.runtimes import Choice
from edgefuse.zoo import Card

_SPARE = 20_000_000  # for what else happens while a frame is fused


def needed(card: Card, runtime: str, precision: str, pixels: int) -> int | None:
    """Bytes that a frame of so many pixels takes, beside the model; None where the card does not say."""
    table = card.cost.get("peak_bytes_per_pixel", {})
    each = table.get(f"{runtime}_{precision}")
    return None if each is None else int(each * pixels)


def free() -> int:
    """Bytes that this process may still take: of the machine's, and of its control group's limit."""
    available = int(psutil.virtual_memory().available)
    limit = cgroup_limit()
    return available if limit is None else min(available, limit - psutil.Process(os.getpid()).memory_info().rss)


def room() -> int:
    """Bytes that a frame may take."""
    return max(0, free() - _SPARE)


def largest(size: tuple[int, int], wanted: int, there: int) -> str:
    """The largest frame of `size`'s shape (width, height) that `there` bytes are enough for, where `size` takes `wanted`: WxH."""
    share = (there / wanted) ** 0.5
    width, height = (int(n * share) // 8 * 8 for n in size)
    return f"{width}x{height}"


def check(card: Card, choice: Choice, shape: tuple[int, ...]) -> None:
    """Raises ModelError, saying what would fit, where a frame of `shape` (height, width) would not."""
    height, width = shape[:2]
    wanted = needed(card, choice.name, choice.precision, height * width)
    if wanted is None or wanted <= (there := room()):
        return
    smaller = f"frames of up to {largest((width, height), wanted, there)}"
    raise ModelError(
        f"{card.name} ({choice.precision}, {choice.name}) takes about {wanted / 1e6:.0f} MB for a frame of {width}x{height} and "
        f"{there / 1e6:.0f} MB are free; what fits: {', '.join([*_that_fit(card, height * width, there), smaller])}"
    )


def _that_fit(card: Card, pixels: int, there: int) -> list[str]:
    """Other ways to fuse a frame of this size, as options: this model's other files, then other models that say what they take."""
    found = []
    for other in (card, *(c for c in zoo.cards() if c.name != card.name and c.task == card.task)):
        for file in other.files:
            wanted = needed(other, file.runtime, file.precision, pixels)
            if wanted is not None and wanted <= there:
                found.append(f"--model {other.name} --runtime {file.runtime} --precision {file.precision} ({wanted / 1e6:.0f} MB)")
                break
    return found
