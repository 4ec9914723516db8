"""[detect]: people in the infrared frames, counted, tracked and drawn (docs/how-to/detection.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DEFAULT_DETECTOR = "warm-blobs"


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectSettings:
    """Settings of the detection of people. Field names are the keys of [detect]; `detector` is also `edgefuse run --detect [NAME]`."""

    detector: str = field(
        default=DEFAULT_DETECTOR,
        metadata={
            "help": "find and count people: warm-blobs needs no model; or a model's folder with a card.toml: ./NAME",
            "option": "detect",
            "const": DEFAULT_DETECTOR,
            "metavar": "NAME",
        },
    )
    every: int = field(default=4, metadata={"help": "look at every N-th infrared frame", "min": 1, "max": 1000})
    score: float = field(default=0.35, metadata={"help": "least score of a person who is reported", "min": 0.05, "max": 1.0})
    runtime: str = field(default="auto", metadata={"help": "runtime of a model: auto (the first installed), onnx, litert or numpy"})
    precision: Literal["int8", "fp32"] | None = field(default=None, metadata={"help": "int8 or fp32 (default: the model's own)"})
    threads: int = field(default=1, metadata={"help": "threads of a model", "min": 1, "max": 64})
