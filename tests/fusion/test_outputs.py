from __future__ import annotations

import numpy as np

from edgefuse.fusion.outputs import Outputs


def test_an_array_nobody_holds_is_used_again() -> None:
    outputs = Outputs()
    addresses = {outputs.take((4, 5)).ctypes.data for _ in range(20)}
    assert len(addresses) == 1


def test_an_array_that_is_held_is_never_handed_out() -> None:
    outputs = Outputs()
    held = [outputs.take((4, 5)) for _ in range(30)]
    assert len({a.ctypes.data for a in held}) == 30
    again = outputs.take((4, 5))
    assert all(again is not a for a in held)


def test_a_view_holds_its_array() -> None:
    outputs = Outputs()
    view = outputs.take((4, 5))[1:, ::2]
    view[:] = 7
    deeper = memoryview(view.T[0])
    del view
    for _ in range(12):
        array = outputs.take((4, 5))
        assert not np.shares_memory(array, np.asarray(deeper))
        array[:] = 1
    assert set(deeper.tolist()) == {7}


def test_another_shape() -> None:
    outputs = Outputs()
    first = outputs.take((4, 5))
    assert outputs.take((4, 5, 3)).shape == (4, 5, 3)
    assert outputs.take((4, 5)) is not first
