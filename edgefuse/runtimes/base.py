"""What a runtime is: named arrays in, named arrays out, in the model file's own layout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgefuse.zoo import Card, ModelFile

Arrays = Mapping[str, NDArray[np.float32]]


class Runtime(ABC):
    """Runs one model file. Not for use from two threads at a time.

    A subclass sets `package` (what it imports) and `install` (what pip installs), and implements `__init__`, `version` and `run`.
    """

    package: ClassVar[str]
    install: ClassVar[str]

    @abstractmethod
    def __init__(self, card: Card, file: ModelFile, threads: int) -> None:
        """Load `file` for `threads` threads. Raises ModelError (the file) or MissingDependencyError (the package)."""

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """The package's version. Raises MissingDependencyError where it can't be imported."""

    @abstractmethod
    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """inputs: arrays by the card's input names, float32, in the file's layout, any height and width. Returns the outputs by name; they
        are the caller's to keep.
        """

    def close(self) -> None:
        """Release what the model holds; safe to call twice."""
