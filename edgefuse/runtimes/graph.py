"""A network's graph, checked before a library in C runs it: sizes of all tensors and the memory of each step, for the frame that is given.

`onnx_graph` and `tflite_graph` read files into a `Graph`. Python's integers do not overflow, so a product of sizes is what it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from edgefuse.errors import ModelError

Shape = tuple[int, ...]
Sizes = Callable[[Sequence[Shape]], Shape]  # from the shapes of the inputs, "" left out, to that of each output

MAX_STEPS, MAX_TENSORS, MAX_RANK = 4096, 1 << 14, 8
MAX_SIDE = 1 << 24
MAX_ELEMENTS = 1 << 30  # that a step may take and make
MAX_CONSTANT = 1 << 28  # elements that all steps of constants make, which libraries compute when they load a graph
# of the numbers of a convolution or a pooling
MAX_KERNEL, MAX_STRIDE, MAX_DILATION, MAX_PADDING, MAX_CHANNELS, MAX_BLOCK = 1024, 64, 256, 1024, 1 << 16, 16
_ALWAYS_FREE = 1 << 22  # bytes that any process may still allocate
MAX_SCALE = 16.0  # of an enlargement, per axis


class Step(NamedTuple):
    """An operation. name: what the file calls it. sizes: shape of its outputs by those of its inputs; ValueError if they don't fit."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    sizes: Sizes


@dataclass(frozen=True, slots=True)
class Graph:
    """Steps in the order in which they run. constants: shapes of the tensors that the file holds. fixed: of inputs whose size it fixes."""

    steps: tuple[Step, ...]
    constants: Mapping[str, Shape]
    fixed: Mapping[str, Shape] = field(default_factory=dict)

    def check_constants(self) -> None:
        """Raise ValueError for steps of constants, or of inputs of fixed size, that take too much memory."""
        self._check(dict(self.constants), MAX_CONSTANT)
        self._check({**self.constants, **self.fixed}, math.inf)

    def check(self, inputs: Mapping[str, Shape], available: float = math.inf) -> int:
        """Return the most elements that a step on inputs of these shapes takes and makes.

        Raises ValueError if a step takes too much memory, or more than `available` bytes.
        """
        return self._check({**self.constants, **inputs}, math.inf, available)

    def _check(self, shapes: dict[str, Shape], most_in_all: float, available: float = math.inf) -> int:
        in_all = largest = 0
        for step in self.steps:
            names = [name for name in step.inputs if name]
            if not all(name in shapes for name in names):
                continue  # it depends on an input whose size is not known
            given = [shapes[name] for name in names]
            made = step.sizes(given)
            if len(made) > MAX_RANK or any(not 0 <= n <= MAX_SIDE for n in made):
                raise ValueError(f"{step.name} makes a tensor of {made}")
            size = math.prod(made) * len(step.outputs)
            elements = size + sum(map(math.prod, given))
            in_all, largest = in_all + size, max(largest, elements)
            # an element takes at least a byte
            if elements > MAX_ELEMENTS or elements > available or in_all > most_in_all:
                raise ValueError(f"{step.name} takes and makes {elements} numbers, from {', '.join(map(str, given))} to {made}")
            shapes |= dict.fromkeys(step.outputs, made)
        return largest


class Limiter:
    """Checks a model's file when it is loaded, and its memory whenever the shapes of its inputs change."""

    def __init__(self, path: Path, read: Callable[[bytes], Graph], data: bytes) -> None:
        """read: of the file's format. Raises ModelError for a file that must not be loaded."""
        self._path = path
        self._for: dict[str, Shape] = {}
        try:
            self._graph = read(data)
        except ValueError as e:
            raise ModelError(f"{path}: {e}; such a graph is not loaded (docs/reference/limits.md)") from None

    def check(self, inputs: dict[str, Shape]) -> None:
        """Raise ModelError if inputs of these shapes take too much memory."""
        if inputs == self._for:
            return
        try:
            if self._graph.check(inputs) > _ALWAYS_FREE:
                from edgefuse.board.free_memory import free_memory  # psutil takes 1 MB, which small networks need not pay for

                self._graph.check(inputs, free_memory())
        except ValueError as e:
            raise ModelError(f"{self._path}: {e}; that is more than memory, or this program, allows") from None
        self._for = inputs


def within(what: str, value: int, least: int, most: int) -> int:
    """Return `value`. Raises ValueError if it is not in a range."""
    if not least <= value <= most:
        raise ValueError(f"{what} {value}, expected {least} to {most}")
    return value


def shape_of(sizes: Sequence[int]) -> Shape:
    """Return the shape of a tensor. Raises ValueError for one that no tensor can have."""
    if len(sizes) > MAX_RANK or any(not 0 <= n <= MAX_SIDE for n in sizes) or math.prod(sizes) > MAX_ELEMENTS:
        raise ValueError(f"a tensor of {tuple(sizes[:MAX_RANK])}")
    return tuple(sizes)


def same(given: Sequence[Shape]) -> Shape:
    """Size of an operation that is applied to each element of its first input."""
    return given[0]


def broadcast(given: Sequence[Shape]) -> Shape:
    """Size of an operation on the elements of several inputs, with NumPy's broadcasting."""
    rank = max(map(len, given))
    aligned = [(1,) * (rank - len(shape)) + shape for shape in given]
    sizes = []
    for axis in zip(*aligned, strict=True):
        if len(others := {n for n in axis if n != 1}) > 1:
            raise ValueError(f"{', '.join(map(str, given))} don't fit together")
        sizes.append(others.pop() if others else 1)
    return tuple(sizes)


class Window(NamedTuple):
    """What a convolution or a pooling looks at, for each spatial axis. padding: before and after, together; None: what outputs need."""

    kernel: Shape
    stride: Shape
    dilation: Shape
    padding: Shape | None
    round_up: bool = False

    def checked(self) -> Window:
        """Return this. Raises ValueError for numbers that no network needs."""
        padding = (0,) * len(self.kernel) if self.padding is None else self.padding
        if not len(self.stride) == len(self.dilation) == len(padding) == len(self.kernel):
            raise ValueError(f"a kernel of {self.kernel} with strides {self.stride}, dilations {self.dilation}, padding {padding}")
        for what, values, least, most in (
            ("a kernel of", self.kernel, 1, MAX_KERNEL), ("a stride of", self.stride, 1, MAX_STRIDE),
            ("a dilation of", self.dilation, 1, MAX_DILATION), ("a padding of", padding, 0, 2 * MAX_PADDING),
        ):  # fmt: skip
            for value in values:
                within(what, value, least, most)
        return self

    def over(self, sizes: Sequence[int]) -> Shape:
        """Return how many positions it has along axes of these sizes."""
        if len(sizes) != len(self.kernel):
            raise ValueError(f"a kernel of {self.kernel} on {len(sizes)} axes")
        if self.padding is None:
            return tuple(-(-n // s) for n, s in zip(sizes, self.stride, strict=True))
        outputs = []
        for n, k, s, d, p in zip(sizes, self.kernel, self.stride, self.dilation, self.padding, strict=True):
            rest = n + p - d * (k - 1) - 1
            if rest < 0:
                raise ValueError(f"a kernel of {self.kernel} is larger than the tensor {tuple(sizes)}")
            outputs.append((-(-rest // s) if self.round_up else rest // s) + 1)
        return tuple(outputs)


def windowed(window: Window, channels: int, outputs: int | None, inputs: int | None) -> Sizes:
    """Size of a convolution or a pooling. channels: their axis, 1 or -1; the others, but the first, are spatial.

    outputs: channels that it makes; None: as many as it has. inputs: channels that it takes; None: any.
    """
    window.checked()

    def sizes(given: Sequence[Shape]) -> Shape:
        first = given[0]
        spatial = first[2:] if channels == 1 else first[1:-1]
        if inputs is not None and first[channels] != inputs:
            raise ValueError(f"a convolution of {inputs} channels on a tensor of {first}")
        made = window.over(spatial)
        count = first[channels] if outputs is None else outputs
        return (first[0], count, *made) if channels == 1 else (first[0], *made, count)

    return sizes


def concatenated(axis: int) -> Sizes:
    """Size of a concatenation."""

    def sizes(given: Sequence[Shape]) -> Shape:
        at = _axis(axis, given[0])
        if any(len(s) != len(given[0]) or s[:at] + s[at + 1 :] != given[0][:at] + given[0][at + 1 :] for s in given):
            raise ValueError(f"{', '.join(map(str, given))} can't be joined")
        return (*given[0][:at], sum(s[at] for s in given), *given[0][at + 1 :])

    return sizes


def reduced(axes: Sequence[int] | None, keep: bool) -> Sizes:
    """Size of a mean, sum or maximum over axes; None: over all."""

    def sizes(given: Sequence[Shape]) -> Shape:
        chosen = {_axis(a, given[0]) for a in (range(len(given[0])) if axes is None else axes)}
        return tuple(1 if k in chosen else n for k, n in enumerate(given[0]) if keep or k not in chosen)

    return sizes


def scaled(factors: Sequence[float]) -> Sizes:
    """Size of an enlargement by factors, one for each axis."""
    if not all(0 < f <= MAX_SCALE for f in factors):
        raise ValueError(f"an enlargement by {tuple(factors)[:MAX_RANK]}")

    def sizes(given: Sequence[Shape]) -> Shape:
        if len(factors) != len(given[0]):
            raise ValueError(f"an enlargement by {tuple(factors)} of a tensor of {given[0]}")
        return tuple(math.floor(n * f) for n, f in zip(given[0], factors, strict=True))

    return sizes


def rearranged(block: int, channels: int, to_space: bool) -> Sizes:
    """Size of moving channels to blocks of pixels (`to_space`), or back. channels: their axis, 1 or -1."""
    within("a block of", block, 1, MAX_BLOCK)

    def sizes(given: Sequence[Shape]) -> Shape:
        if len(given[0]) != 4:
            raise ValueError(f"blocks of pixels in a tensor of {given[0]}")
        n, *rest = given[0]
        count, height, width = rest if channels == 1 else (rest[2], *rest[:2])
        if to_space:
            if count % block**2:
                raise ValueError(f"{count} channels as blocks of {block} x {block}")
            count, height, width = count // block**2, height * block, width * block
        else:
            count, height, width = count * block**2, height // block, width // block
        return (n, count, height, width) if channels == 1 else (n, height, width, count)

    return sizes


def reshaped(wanted: Sequence[int]) -> Sizes:
    """Size of the same elements in another shape, of which one size may be -1: what is left."""
    if wanted.count(-1) > 1 or min(wanted, default=0) < -1:
        raise ValueError(f"a shape of {tuple(wanted)[:MAX_RANK]}")
    rest = math.prod(n for n in wanted if n != -1)

    def sizes(given: Sequence[Shape]) -> Shape:
        count = math.prod(given[0])
        if (count % rest if -1 in wanted and rest else count != rest) or (-1 in wanted and not rest):
            raise ValueError(f"a tensor of {given[0]} as {tuple(wanted)}")
        return tuple(count // rest if n == -1 else n for n in wanted)

    return sizes


def sliced(ranges: Mapping[int, slice]) -> Sizes:
    """Size of a part of a tensor. ranges: by axis."""
    if any(part.step == 0 for part in ranges.values()):
        raise ValueError("a slice with steps of 0")

    def sizes(given: Sequence[Shape]) -> Shape:
        made = list(given[0])
        for axis, part in ranges.items():
            at = _axis(axis, given[0])
            made[at] = len(range(*part.indices(given[0][at])))
        return tuple(made)

    return sizes


def product(given: Sequence[Shape]) -> Shape:
    """Size of a product of two matrices, or of stacks of them that are broadcast."""
    first, second = given[:2]
    if min(len(first), len(second)) < 2 or first[-1] != second[-2]:
        raise ValueError(f"a product of tensors of {first} and {second}")
    return (*broadcast([first[:-2], second[:-2]]), first[-2], second[-1])


def resized(height: int, width: int) -> Sizes:
    """Size of a picture (n, height, width, channels) that is scaled to a fixed size."""
    return lambda given: (given[0][0], height, width, given[0][-1])


def padded(amounts: Sequence[int]) -> Sizes:
    """Size of a padding. amounts: elements before and after, together, one for each axis."""
    for amount in amounts:
        within("a padding of", amount, 0, 2 * MAX_PADDING)

    def sizes(given: Sequence[Shape]) -> Shape:
        if len(amounts) != len(given[0]):
            raise ValueError(f"a padding of {tuple(amounts)} of a tensor of {given[0]}")
        return tuple(n + a for n, a in zip(given[0], amounts, strict=True))

    return sizes


def transposed(order: Sequence[int]) -> Sizes:
    """Size of a transposition."""
    if sorted(order) != list(range(len(order))):
        raise ValueError(f"an order of axes {tuple(order)[:MAX_RANK]}")

    def sizes(given: Sequence[Shape]) -> Shape:
        if len(order) != len(given[0]):
            raise ValueError(f"an order of axes {tuple(order)} for a tensor of {given[0]}")
        return tuple(given[0][k] for k in order)

    return sizes


def _axis(axis: int, shape: Shape) -> int:
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"axis {axis} of a tensor of {shape}")
    return axis % len(shape)
