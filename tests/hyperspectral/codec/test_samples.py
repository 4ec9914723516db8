"""Conversion of sums to samples: the compiled and the NumPy version give the same result."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefuse.hyperspectral.codec import samples
from edgefuse.util import compiled


@pytest.mark.skipif(not compiled.library(), reason="no compiled core")
@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 999),
    st.sampled_from(["uint8", "int8", "uint16", "int16", "int32", "uint32"]),
    st.sampled_from([2.0**-20, 0.5, 1e-3, 1e9]),
)
def test_compiled_and_python_write_the_same(seed: int, dtype: str, unit: float) -> None:
    rng = np.random.default_rng(seed)
    # including halves, which are rounded to even
    sums = rng.integers(-(1 << 40), 1 << 40, (7, 5)) // 2 ** rng.integers(0, 40, (7, 5)) * 1.0
    mean, limits = rng.integers(-1000, 1000, 5) * 1.0, np.iinfo(dtype)
    made = np.empty((2, 7, 5), dtype)
    samples.fill(made[0], sums.copy(), mean, unit, int(limits.min), int(limits.max))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "library", lambda: None)
        samples.fill(made[1], sums.copy(), mean, unit, int(limits.min), int(limits.max))
    expected = np.clip(np.rint((sums + mean) * unit), limits.min, limits.max).astype(dtype)
    assert np.array_equal(made[1], expected)
    assert np.array_equal(made[0], expected)
