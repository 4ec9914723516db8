"""Interface of runtimes: named input arrays to named output arrays, in the model file's layout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgefuse.zoo import Card, ModelFile

Arrays = Mapping[str, NDArray[np.float32]]


class Runtime(ABC):
    """Runs one model file. Not thread-safe.

    A subclass sets `package` (what it imports) and `install` (what pip installs), and implements `__init__`, `version` and `run`.
    """

    package: ClassVar[str]
    install: ClassVar[str]

    @abstractmethod
    def __init__(self, card: Card, file: ModelFile, threads: int) -> None:
        """Load `file` to run on `threads` threads. Raises ModelError (the file) or MissingDependencyError (the package)."""

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """The package's version. Raises MissingDependencyError if it can't be imported."""

    @abstractmethod
    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run the model. inputs: float32 by the card's input names, in the file's layout, any height and width.

        Returns the outputs by name; later calls do not overwrite them.
        """

    def close(self) -> None:
        """Release the model's resources; safe to call twice."""
