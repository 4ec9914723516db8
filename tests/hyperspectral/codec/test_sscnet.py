"""`sscnet`: latents are lossless, targets are met, damage stays within its tile, and unsupported input gives a clear error."""

from __future__ import annotations

import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgefuse import runtimes, zoo
from edgefuse.cli.main import main
from edgefuse.errors import InputError
from edgefuse.hyperspectral import efz
from edgefuse.hyperspectral.codec import sscnet
from edgefuse.util import compiled
from tests.hyperspectral.cubes import mixed

pytest.importorskip("onnxruntime")

GOLDEN = Path(__file__).parent / "golden" / "sscnet"


def encoded(cube: Any, nodata: float | None = None, **target: Any) -> bytes:
    stream = io.BytesIO()
    assert sscnet.encode_to(stream, cube, sscnet.Target(**target), nodata=nodata) == len(stream.getvalue())
    return stream.getvalue()


def decoded(data: bytes) -> tuple[Any, list[int]]:
    decoder = sscnet.Decoder(io.BytesIO(data))
    cube = np.full(decoder.header.shape, decoder.missing, decoder.header.dtype)
    for place, samples in decoder.tiles():
        cube[place] = samples
    return cube, decoder.lost


def relative_error(a: Any, b: Any) -> float:
    return float(np.sqrt(np.mean((a.astype(float) - b) ** 2)) / np.std(a.astype(float)))


@settings(max_examples=40, deadline=None)
@given(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 20)), st.integers(0, 99), st.sampled_from([1, 3, 32, 128]))
def test_latents_are_exact(shape: tuple[int, int, int], seed: int, step: int) -> None:
    rng = np.random.default_rng(seed)
    latent = np.clip(rng.integers(0, 256, shape[2]) + rng.integers(-40, 41, shape), 0, 255).astype(np.int32)
    quantised = sscnet.quantise(latent, step)
    np.testing.assert_array_equal(sscnet.decoded_latent(sscnet.coded_latent(quantised), shape, efz.VERSION), quantised)
    assert np.abs(quantised * step - latent).max() <= step / 2


def test_damaged_latents_stay_in_range() -> None:
    coded = bytes(np.random.default_rng(0).integers(0, 256, 4000, np.uint8))
    made = sscnet.decoded_latent(coded, (16, 16, 64), efz.VERSION)
    assert made.min() >= 0
    assert made.max() <= 255


@pytest.mark.parametrize(
    ("shape", "dtype"), [((30, 41, 202), "uint16"), ((9, 8, 60), "float32"), ((8, 17, 300), "uint8"), ((1, 1, 1), "int16")]
)
def test_any_size_bands_and_type(shape: tuple[int, int, int], dtype: str) -> None:
    cube = mixed(shape, dtype, 1)
    made, lost = decoded(encoded(cube))
    assert (made.shape, made.dtype, lost) == (cube.shape, cube.dtype, [])
    assert np.isfinite(made.astype(float)).all()


def smooth(rows: int, columns: int, bands: int = 202) -> Any:
    y, x = np.mgrid[:rows, :columns].astype(float)
    at = np.linspace(0, 1, bands)
    light, plants = 0.6 + 0.3 * np.sin(x / 19 + y / 31), 0.5 + 0.4 * np.cos(y / 17)
    cube = light[..., None] * (0.15 + 0.2 * at) + plants[..., None] * 0.35 / (1 + np.exp(-30 * (at - 0.3)))
    return np.rint(10000 * np.clip(cube, 0, 1)).astype(np.uint16)


@pytest.mark.parametrize("runtime", ["onnx", "litert"])
def test_a_landscape_is_recognised_and_its_rate_is_below_the_published_one(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip({"onnx": "onnxruntime", "litert": "ai_edge_litert"}[runtime])
    monkeypatch.setattr(runtimes, "choose", partial(runtimes.choose, name=runtime))
    cube = smooth(64, 80)
    data = encoded(cube)
    made, _ = decoded(data)
    assert 8 * len(data) / cube.size < 0.63
    assert relative_error(cube, made) < 0.5


def test_bytes_are_held_and_more_of_them_are_better() -> None:
    cube = smooth(64, 80)
    errors = []
    for rate in (0.06, 0.12, 0.3):
        data = encoded(cube, bpppc=rate)
        assert 8 * len(data) / cube.size <= rate
        errors.append(relative_error(cube, decoded(data)[0]))
    assert errors[0] >= errors[1] >= errors[2]


def test_a_psnr_is_held_or_refused() -> None:
    cube = smooth(40, 40)
    made, _ = decoded(encoded(cube, psnr=20))
    assert -10 * np.log10(np.mean(((made.astype(float) - cube) / 10000) ** 2)) > 19.9
    with pytest.raises(InputError, match=r"sscnet reaches [\d.]+ dB here, not 90; ask for less, or use spectral-edge"):
        encoded(cube, psnr=90)


@pytest.mark.parametrize("target", [{"max_error": 0}, {"bpppc": 0.1, "psnr": 30}, {"bpppc": 0}, {"psnr": -1}])
def test_what_it_can_t_hold_is_refused(target: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        encoded(smooth(8, 8), **target)


def test_missing_samples_stay_missing() -> None:
    cube = smooth(20, 20, 50)
    cube[3:6, 2:9] = 65535
    cube[0, 0, 7] = 65535
    made, _ = decoded(encoded(cube, nodata=65535))
    np.testing.assert_array_equal(made == 65535, cube == 65535)
    floats = np.full((9, 9, 12), np.nan, np.float32)
    assert np.isnan(decoded(encoded(floats))[0]).all()


def test_what_samples_can_t_be_is_not_taken_for_nodata() -> None:
    with pytest.raises(InputError, match="uint16 samples can't be -9999"):
        encoded(smooth(8, 8), nodata=-9999)


def test_damage_stays_in_its_tile() -> None:
    cube = smooth(20, 300, 40)
    data = encoded(cube)
    whole, _ = decoded(data)
    places = [data.index(b"TILE")]
    while (at := data.find(b"TILE", places[-1] + 4)) > 0:
        places.append(at)
    assert len(places) == 3
    broken = bytearray(data)
    broken[places[1] + 40] ^= 4
    made, lost = decoded(bytes(broken))
    assert lost == [1]
    assert not made[:, 128:256].any()
    np.testing.assert_array_equal(np.delete(made, slice(128, 256), 1), np.delete(whole, slice(128, 256), 1))


@pytest.mark.parametrize(
    ("settings_", "message"),
    [({"peak": -1}, "peak"), ({"peak": "x"}, "peak"), ({"nodata": "y"}, "nodata"), ({"weights": "feed"}, "needs SSCNet's weights feed")],
)
def test_headers_that_can_t_be_decoded(settings_: dict[str, Any], message: str) -> None:
    given_ = {"peak": 10000, "weights": sscnet.Network("sscnet-decoder").weights} | settings_
    stream = io.BytesIO()
    efz.Writer(stream, efz.Header((8, 8, 4), "uint16", (8, 8), "sscnet", given_)).close()
    with pytest.raises(InputError, match=message):
        sscnet.Decoder(io.BytesIO(stream.getvalue()))


@pytest.mark.parametrize("runtime", ["onnx", "litert"])
def test_files_with_the_first_weights_are_decoded(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # written by the version with those weights; the .npz holds that version's result, every second pixel and sixth band
    pytest.importorskip({"onnx": "onnxruntime", "litert": "ai_edge_litert"}[runtime])
    monkeypatch.setattr(runtimes, "choose", partial(runtimes.choose, name=runtime))
    data = (GOLDEN / "first-weights.efz").read_bytes()
    assert sscnet.Decoder(io.BytesIO(data)).header.settings["weights"] == "6761bad8848b"
    made, lost = decoded(data)
    assert (made.shape, made.dtype, lost) == ((16, 24, 48), np.uint16, [])
    missing = np.zeros(made.shape, bool)
    missing[3:5, 2:9] = True
    np.testing.assert_array_equal(made == 65535, missing)
    # another machine may round activations differently, hence the tolerance of the model's golden pair
    expected = np.load(GOLDEN / "first-weights.npz")[runtime].astype(float)
    np.testing.assert_allclose(made[::2, ::2, ::6], expected, rtol=0, atol=0.02 * 10000)


def test_the_first_weights_are_the_same_files() -> None:
    digests = {f.runtime: f.sha256 for f in zoo.find("sscnet-decoder-1").files}
    assert digests == {
        "onnx": "730cbf6c4c582c3fdc727d29e2a4eefc707f5ffa8d94c0798d84899c63a13ff0",
        "litert": "387b27c13d4a7a1b4ee605a83c49433c1257c99b8558fa6b03221e0d02b18a64",
    }


def test_new_files_are_written_for_the_new_weights() -> None:
    header = sscnet.Decoder(io.BytesIO(encoded(smooth(8, 8)))).header
    assert header.settings["weights"] == sscnet.Network("sscnet-decoder").weights == "6b87fd6b0a3d"


def test_runtimes_draw_the_same_but_for_their_rounding() -> None:
    pytest.importorskip("ai_edge_litert")
    card = zoo.find("sscnet-decoder")
    latent = np.random.default_rng(0).integers(0, 256, (card.inputs[0].shape[1], 3, 4)).astype(np.float32) / np.float32(255)
    made = []
    for name in ("onnx", "litert"):
        choice = runtimes.choose(card, name)
        made.append(choice.planes(choice.runtime.run({"latent": np.ascontiguousarray(choice.tensor(latent))})["cube"]))
        choice.runtime.close()
    assert made[0].shape == made[1].shape == (202, 24, 32)
    assert np.sqrt(np.mean((made[0] - made[1]) ** 2)) < 0.03


def test_without_a_compiler_the_bytes_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    latent = np.random.default_rng(0).integers(0, 20, (4, 5, 12)).astype(np.int32)
    coded = sscnet.coded_latent(latent)
    monkeypatch.setattr(compiled, "library", lambda: None)
    assert sscnet.coded_latent(latent) == coded


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cube = smooth(24, 32)
    np.save(tmp_path / "cube.npy", cube)
    assert main(["compress", str(tmp_path / "cube.npy"), str(tmp_path / "cube.efz"), "--model", "sscnet", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["settings"] == {"model": "sscnet"}
    assert report["quality"]["psnr_db"] > 15
    assert main(["decompress", str(tmp_path / "cube.efz"), str(tmp_path / "again.npy")]) == 0
    assert np.load(tmp_path / "again.npy").shape == cube.shape
    capsys.readouterr()
    bad = ["compress", str(tmp_path / "cube.npy"), str(tmp_path / "not.efz"), "--model", "sscnet", "--max-error", "0"]
    assert main(bad) == 2
    assert "sscnet does not support max_error" in capsys.readouterr().err
    assert not (tmp_path / "not.efz").exists()
