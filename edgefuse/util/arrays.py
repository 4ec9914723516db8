"""Type aliases of NumPy arrays by dtype; docstrings give shapes and ranges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

UInt8Array = NDArray[np.uint8]
Int32Array = NDArray[np.int32]
Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
