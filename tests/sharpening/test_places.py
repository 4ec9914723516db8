from __future__ import annotations

import numpy as np
import pytest

from edgefuse.errors import CubeError
from edgefuse.sharpening.places import converter

UTM_AS_ENVI = (
    'PROJCS["WGS_1984_UTM_Zone_33N",GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],'
    'PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],PROJECTION["Transverse_Mercator"],PARAMETER["False_Easting",500000.0],'
    'PARAMETER["False_Northing",0.0],PARAMETER["Central_Meridian",15.0],PARAMETER["Scale_Factor",0.9996],'
    'PARAMETER["Latitude_Of_Origin",0.0],UNIT["Meter",1.0]]'
)
PLACES = np.array([(500000.0, 5000000.0), (620000.0, 5300000.0)])


@pytest.mark.parametrize("systems", [("EPSG:32633", "EPSG:32633"), ("", "EPSG:32633"), ("EPSG:32633", "")])
def test_one_system_or_an_unknown_one_changes_nothing(systems: tuple[str, str]) -> None:
    assert converter(*systems)(PLACES) is PLACES


def test_two_spellings_of_one_system_are_one() -> None:
    pytest.importorskip("rasterio")
    np.testing.assert_allclose(converter(UTM_AS_ENVI, "EPSG:32633")(PLACES), PLACES, atol=1e-3)


def test_the_central_meridian_has_the_false_easting_of_utm() -> None:
    pytest.importorskip("rasterio")
    x, y = converter("EPSG:32633", "EPSG:4326")(PLACES)[0]
    assert (x, y) == pytest.approx((15, 45.15), abs=0.01)
    assert converter("EPSG:4326", "EPSG:32632")(np.array([(9.0, 0.0)]))[0] == pytest.approx((500000, 0), abs=1e-3)


def test_an_unknown_system_is_refused() -> None:
    pytest.importorskip("rasterio")
    with pytest.raises(CubeError, match="not known to PROJ"):
        converter("LOCAL:none", "EPSG:4326")
