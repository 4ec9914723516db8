"""Types of the JSON report of `edgefuse bench`, by which those who make it and those who read it agree. Units are in the keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict

Initialisation = TypedDict("Initialisation", {"import": float, "load": float, "total": float})  # milliseconds
Bytes = TypedDict("Bytes", {"in": int, "out": int})  # of a pair and of a fused frame, uncompressed


class Timing(TypedDict):
    """Many calls (`edgefuse.bench.statistics.summary`)."""

    frames: int
    elapsed_s: float
    fps: float | None
    latency_ms: dict[str, float]
    uncertainty: float | None
    distribution_ms: list[float]


class StageTime(TypedDict):
    """A stage's mean, and its share of the end-to-end time."""

    mean_ms: float
    share: float


class Memory(TypedDict):
    """Megabytes."""

    peak_resident: float
    own: float


class FileFacts(TypedDict):
    """A model's file."""

    name: str
    bytes: int
    sha256: str


class Golden(TypedDict):
    """Result of the golden pair."""

    status: str
    difference: float | None
    note: str


class Row(TypedDict, total=False):
    """A case. One that failed has no figures: only what it was, its `error`, and whether the board was throttled."""

    model: str
    runtime: str
    version: str
    precision: str | None
    threads: int
    size: str
    status: str
    error: str | None
    why: str
    initialisation_ms: Initialisation
    first_ms: float
    end_to_end: Timing
    network: Timing | None
    stages: dict[str, StageTime]
    other_processes_cores: float | None
    memory_mb: Memory
    file: FileFacts | None
    parameters: int | None
    macs: int | None
    bytes: Bytes
    bandwidth_fps: int
    bandwidth_mb_s: dict[str, dict[str, float]]
    golden: Golden
    throttled: list[str]
    doubts: list[str]
    attempts: int


class Contestant(TypedDict):
    """One of those timed in turn, beside the peer."""

    median_ms: float
    quartiles_ms: list[float]
    ratio: float
    ratio_quartiles: list[float]
    uncertainty: float | None


class ContestantModel(TypedDict):
    """What was timed."""

    model: str
    runtime: str
    version: str
    precision: str
    sha256: str | None


class ComparisonFacts(TypedDict, total=False):
    """What does not depend on the rounds; missing where the comparison was interrupted."""

    inputs: list[str]
    clock: str
    models: dict[str, ContestantModel]


class Comparison(ComparisonFacts):
    """A comparison of cases with a peer, by contestant."""

    size: str
    threads: int
    rounds: int
    network: dict[str, Contestant]
    end_to_end: dict[str, Contestant]
    throttled: list[str]
    doubts: list[str]


class ProcessorFacts(TypedDict):
    """`edgefuse.board.Processor`."""

    name: str
    machine: str
    cores: int | None
    usable: int
    features: tuple[str, ...] | None


class BoardFacts(TypedDict):
    """`edgefuse.board.Board`, with its name."""

    name: str
    model: str | None
    processor: ProcessorFacts
    dot_product: bool | None
    kernel: str | None
    system: str | None
    memory_bytes: int | None


class ThrottlingFacts(TypedDict):
    """`edgefuse.board.throttling.Throttling`, in bits and in words."""

    sysfs: int | None
    vcgencmd: int | None
    events: int | None
    now: list[str]
    since_boot: list[str]
    disagree: bool
    text: str


class StateFacts(TypedDict):
    """`edgefuse.board.State`."""

    governor: str | None
    frequency_mhz: float | None
    highest_mhz: float | None
    temperature_c: float | None
    load: float | None
    throttling: ThrottlingFacts


class PlanFacts(TypedDict):
    """How long each figure was measured."""

    warmup_s: float
    min_s: float
    min_frames: int
    cooldown_s: float


class PeerFacts(TypedDict):
    """The peer's file."""

    file: str
    bytes: int
    sha256: str


class Chosen(TypedDict):
    """A choice of `edgefuse bench --tune` (`edgefuse.runtimes.tuned.Tuned`), and the file that it is stored in, if it can be trusted."""

    model: str
    runtime: str
    precision: str
    threads: int
    size: str
    frame_ms: float
    on: str
    holds_for: Mapping[str, str]
    remembered_in: str | None


class Report(TypedDict):
    """The whole. duels: the comparisons with the peer."""

    edgefuse: str
    measured_at: str
    interrupted: bool
    board: BoardFacts
    libraries: dict[str, str | None]
    state: dict[str, StateFacts]
    throttled: list[str]
    plan: PlanFacts
    limits: dict[str, float]
    left_out: list[str]
    cases: list[Row]
    peer: NotRequired[PeerFacts]
    duels: NotRequired[list[Comparison]]
    tuned: NotRequired[list[Chosen]]
