"""Malicious `.efz` files: some of those from benchmarks/fuzz, and cases that it has found."""

from __future__ import annotations

import io
import random
import struct
from typing import Any

import numpy as np
import pytest

from edgefuse.errors import InputError
from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec import spectral_edge
from edgefuse.hyperspectral.codec.basis import Basis
from tests.hyperspectral import hostile
from tests.hyperspectral.cubes import mixed


def test_damage_costs_the_tiles_it_touches_and_no_others() -> None:
    assert 100 < sum(hostile.check_damaged(random.Random(seed)) for seed in range(300)) < 300


def test_what_was_made_to_harm_is_decoded_or_refused() -> None:
    decoded = refused = 0
    with np.errstate(all="raise"):
        for seed in range(600):
            try:
                decoded += hostile.check_made(random.Random(seed))
            except InputError:
                refused += 1
    assert decoded > 200
    assert refused > 50


@pytest.mark.parametrize("nodata", [1e300, -1, 0.5, True, "0"])
def test_a_header_s_nodata_must_be_a_sample(nodata: Any) -> None:
    header = efz.Header((4, 4, 3), "uint16", (4, 4), spectral_edge.MODEL, {"nodata": nodata})
    with pytest.raises(InputError, match=r"the \.efz header is invalid: nodata"):
        spectral_edge.Decoder(io.BytesIO(header.to_bytes()))


def test_what_samples_can_t_be_is_not_taken_for_nodata() -> None:
    with pytest.raises(InputError, match="uint16 samples can't be -9999"):
        spectral_edge.encode(mixed((4, 4, 3), "uint16"), bpppc=3.0, nodata=-9999)


def test_a_basis_of_hardly_any_step_is_damage() -> None:
    data = Basis(1.0, 20, np.zeros(3, np.int32), np.zeros((1, 3), np.int32), np.zeros(2, np.uint8)).encoded
    assert Basis.from_bytes(data, 3, 4, efz.VERSION).step == 1
    with pytest.raises(InputError, match="damaged"):
        Basis.from_bytes(struct.pack("<d", 5e-324) + data[8:], 3, 4, efz.VERSION)


def test_a_file_of_too_many_tiles_is_refused() -> None:
    """A list of its lost tiles would take gigabytes."""
    header = efz.Header((1 << 12, 1 << 12, 1), "uint8", (1, 1), spectral_edge.MODEL)
    with pytest.raises(InputError, match="16777216 tiles"):
        spectral_edge.Decoder(io.BytesIO(header.to_bytes()))
    with pytest.raises(InputError, match="use larger tiles"):
        efz.Writer(io.BytesIO(), header)
