"""The cases to measure: all combinations of models, runtimes, precisions, threads and sizes that exist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypedDict, cast

from edgefuse.errors import SettingsError
from edgefuse.zoo import Card


class CaseFacts(TypedDict):
    """A `Case` as JSON values."""

    model: str
    runtime: str
    precision: str | None
    threads: int
    size: Sequence[int]


@dataclass(frozen=True, slots=True)
class Case:
    """One case. model: a name or a folder. runtime, precision: as for `edgefuse.runtimes.choose`. size: (width, height) in pixels."""

    model: str
    runtime: str
    precision: str | None
    threads: int
    size: tuple[int, int]

    @property
    def label(self) -> str:
        """Description for people, without threads and size."""
        return " ".join(part for part in (self.model, "" if self.runtime == "auto" else self.runtime, self.precision) if part)

    def as_json(self) -> CaseFacts:
        return cast(CaseFacts, asdict(self))

    @staticmethod
    def from_json(raw: CaseFacts) -> Case:
        width, height = raw["size"]
        return Case(raw["model"], raw["runtime"], raw["precision"], raw["threads"], (width, height))


@dataclass(frozen=True, slots=True)
class Wanted:
    """The requested combinations. runtimes, precisions: None for all that exist."""

    cards: Mapping[str, Card]
    runtimes: Sequence[str] | None
    precisions: Sequence[str] | None
    threads: Sequence[int]
    sizes: Sequence[tuple[int, int]]


def product(wanted: Wanted, here: Mapping[str, bool]) -> tuple[list[Case], list[str]]:
    """Return (the cases, the reason for each requested combination that is left out). here: which runtimes can be used, by name.

    A closed form takes neither runtime nor precision and gives one case for each thread count and size.
    """
    cases: list[Case] = []
    left_out: list[str] = []
    for size in wanted.sizes:
        for threads in wanted.threads:
            for model, card in wanted.cards.items():
                cases += [Case(model, runtime, precision, threads, size) for runtime, precision in _pairs(card, wanted, here, left_out)]
    return list(dict.fromkeys(cases)), list(dict.fromkeys(left_out))


def _pairs(card: Card, wanted: Wanted, here: Mapping[str, bool], left_out: list[str]) -> list[tuple[str, str | None]]:
    if not card.files:
        return [("auto", None)]
    combinations: list[tuple[str, str | None]] = []
    for runtime in wanted.runtimes or dict.fromkeys(f.runtime for f in card.files):
        if runtime == "auto":
            combinations += [("auto", precision) for precision in wanted.precisions or (None,)]
            continue
        there = [f.precision for f in card.files if f.runtime == runtime]
        chosen = [p for p in there if wanted.precisions is None or p in wanted.precisions]
        if not here.get(runtime, False):
            left_out.append(f"{runtime} can't be used here")
        elif chosen:
            combinations += [(runtime, precision) for precision in chosen]
        else:
            asked = " or ".join(wanted.precisions or ("",))
            left_out.append(f"{card.name} has no {asked + ' ' if asked else ''}file for {runtime}")
    return combinations


def refuse_none(cases: Sequence[Case], left_out: Sequence[str]) -> None:
    """Raise SettingsError where nothing is left to measure."""
    if not cases:
        raise SettingsError(f"nothing to measure: {'; '.join(left_out)}; see edgefuse models")
