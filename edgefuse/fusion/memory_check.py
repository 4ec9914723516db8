"""Checks whether a frame fits into memory before the network runs, because otherwise the kernel would end the process.

The cost table of a large model's card states `peak_bytes_per_pixel` by runtime and precision ("onnx_fp32"): the growth of the process
between a small frame and a large one.
"""

from __future__ import annotations

from edgefuse import zoo
from edgefuse.board.free_memory import free_memory as free
from edgefuse.errors import ModelError
from edgefuse.runtimes import Choice
from edgefuse.zoo import Card

_SPARE = 20_000_000  # bytes kept free for everything else


def needed(card: Card, runtime: str, precision: str, pixels: int) -> int | None:
    """Return the bytes that fusing a frame of `pixels` takes besides the model; None if the card does not state them."""
    table = card.cost.get("peak_bytes_per_pixel", {})
    each = table.get(f"{runtime}_{precision}")
    return None if each is None else int(each * pixels)


def room() -> int:
    """Return the bytes that a frame may take."""
    return max(0, free() - _SPARE)


def largest(size: tuple[int, int], wanted: int, there: int) -> str:
    """Return the largest size that fits into `there` bytes, as "WxH".

    size: (width, height) of a frame that takes `wanted` bytes; the result has its aspect ratio.
    """
    share = (there / wanted) ** 0.5
    width, height = (int(n * share) // 8 * 8 for n in size)
    return f"{width}x{height}"


def check(card: Card, choice: Choice, shape: tuple[int, ...]) -> None:
    """Raise ModelError, which lists what would fit, if a frame of `shape` (height, width) does not fit into memory."""
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
    """List options with which a frame of this size fits into `there` bytes: other files of this model, then other models."""
    fitting = []
    for other in (card, *(c for c in zoo.cards() if c.name != card.name and c.task == card.task)):
        for file in other.files:
            wanted = needed(other, file.runtime, file.precision, pixels)
            if wanted is not None and wanted <= there:
                fitting.append(f"--model {other.name} --runtime {file.runtime} --precision {file.precision} ({wanted / 1e6:.0f} MB)")
                break
    return fitting
