from __future__ import annotations

import numpy as np
import pytest

from edgefuse import __version__, runtimes
from edgefuse.errors import MissingDependencyError, ModelError, SettingsError
from edgefuse.runtimes import choose, convolution, litert, onnx, present
from edgefuse.util import compiled
from edgefuse.zoo import find


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a machine without onnxruntime and LiteRT."""

    def missing(*_: object) -> object:
        raise MissingDependencyError("it", "this runtime", "it")

    monkeypatch.setattr(onnx, "import_onnxruntime", missing)
    monkeypatch.setattr(litert, "_import", missing)


def test_auto_takes_numpy_where_nothing_else_installs_and_says_why(bare: None) -> None:
    choice = choose(find("mobilefuse"))
    assert (choice.name, choice.precision) == ("numpy", "fp32")
    assert choice.why == "the fastest installed; it is not installed; it is not installed"


def test_asking_for_a_missing_runtime_gives_the_pip_command(bare: None) -> None:
    with pytest.raises(MissingDependencyError, match="pip install"):
        choose(find("mobilefuse"), "onnx")


def test_auto_prefers_the_models_own_precision() -> None:
    choice = choose(find("mobilefuse"))
    assert choice.name in ("litert", "onnx")
    assert choice.precision == "int8"
    assert choose(find("mobilefuse"), "auto", "fp32").precision == "fp32"


def test_auto_runs_a_small_network_by_itself_where_it_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    card = find("mobilefuse-edge")
    assert choose(card, precision="int8").name in ("litert", "onnx")
    for library, name in ((object(), "numpy"), (None, "onnx")):
        with monkeypatch.context() as patch:
            patch.setattr(compiled, "library", lambda runtimes_here=library: runtimes_here)
            patch.setattr(convolution, "best", lambda: convolution.Convolution)
            assert (choose(card).name, choose(card).precision) == (name, "fp32")
            assert choose(find("mobilefuse"), precision="fp32").name == "onnx"


def test_a_precision_that_does_not_exist_lists_what_does() -> None:
    card = find("mobilefuse")
    with pytest.raises(ModelError, match="numpy has no int8 file of mobilefuse; it comes as litert int8, numpy fp32, onnx fp32, onnx int8"):
        choose(card, "numpy", "int8")


def test_a_closed_form_takes_no_runtime_and_no_precision() -> None:
    card = find("blend-classic")
    choice = choose(card, threads=2)
    assert (choice.name, choice.version, choice.precision, choice.threads, choice.file) == ("closed form", __version__, "8 bit", 2, None)
    assert choice.runtime.run({}) == {}
    choice.runtime.close()
    for how in ({"name": "onnx"}, {"precision": "int8"}):
        with pytest.raises(SettingsError, match="blend-classic is a closed form: it takes no runtime and no precision; leave them out"):
            choose(card, **how)


def test_a_file_takes_a_plane_in_its_own_layout() -> None:
    plane = np.zeros((3, 5), np.float32)
    assert choose(find("mobilefuse-edge"), "numpy").tensor(plane).shape == (1, 1, 3, 5)
    card = find("mobilefuse-edge")
    assert next(f for f in card.files if f.layout == "NHWC").tensor(plane).shape == (1, 3, 5, 1)


def test_unknown_names() -> None:
    with pytest.raises(SettingsError, match="unknown runtime 'cuda'; choose from auto, onnx, litert, numpy"):
        choose(find("mobilefuse"), "cuda")


def test_present_tells_versions_and_what_is_missing(bare: None) -> None:
    runtimes_here = present()
    assert runtimes_here["numpy"][0].isdigit()
    assert runtimes_here["onnx"].startswith("missing: this runtime needs it")


def test_default_threads_are_the_cores_four_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert runtimes.default_threads() == 4
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)
    assert runtimes.default_threads() == 1
