"""Tests of detectors that are models: the documented example, refused cards and outputs, pictures as tensors."""

from __future__ import annotations

from importlib import metadata
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from edgefuse import detection, zoo
from edgefuse.detection import DetectorOptions
from edgefuse.detection.network import people, tensor
from edgefuse.errors import MissingDependencyError, ModelError, SettingsError
from edgefuse.runtimes import golden
from edgefuse.runtimes.onnx import OnnxRuntime
from edgefuse.zoo import Tensor
from tests.detection import models
from tests.detection.figures import look

pytest.importorskip("onnxruntime")


def bright(cell: int) -> np.ndarray:
    """Return 48 x 64 pixels, one cell of 3 x 4 bright."""
    picture = np.zeros((48, 64), np.uint8)
    row, column = models.CELLS[cell]
    picture[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16] = 250
    return picture


def test_the_documented_model_finds_what_is_bright(tmp_path: Path) -> None:
    folder = models.write(tmp_path)
    detector = detection.open_detector(DetectorOptions(str(folder), score=0.5, runtime="onnx"))
    assert (detector.name, detector.picture) == ("people-cells fp32 on onnx", "infrared")
    (detections,) = detector.detect(look(bright(6)))
    assert (detections.left, detections.top, detections.right, detections.bottom) == pytest.approx((0.5, 1 / 3, 0.75, 2 / 3))
    assert detections.score == pytest.approx(250 / 255, abs=1e-5)
    detector.close()
    (result,) = golden.verify(zoo.read_card(folder))
    assert (result.status, result.note) == ("ok", f"onnx {OnnxRuntime.version()}")


def test_a_missing_runtime_answers_with_the_pip_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(cls: type) -> str:
        raise MissingDependencyError("onnxruntime", "the onnx runtime", "onnxruntime")

    monkeypatch.setattr(OnnxRuntime, "version", classmethod(missing))
    with pytest.raises(MissingDependencyError, match="pip install onnxruntime"):
        detection.check(DetectorOptions(str(models.write(tmp_path))))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('task = "detection"', 'task = "fusion"', "model people-cells is for fusion; [detect] needs one for detection"),
        ('name = "infrared"', 'name = "picture"', "its inputs are picture; expected infrared or fused"),
        ('name = "scores"', 'name = "score"', "its outputs are boxes, score; expected boxes, scores and perhaps classes"),
        ('layout = "ltrb"', 'layout = "xywh"', "the layout of boxes is 'xywh'; expected one of ltrb, tlbr"),
        ('colour = "grey"', 'colour = "gray"', "the colour of its input is 'gray'; expected one of grey, RGB, BGR"),
        ("[1, 1, 24, 32]", "[1, 1, 0, 32]", "the shape of its input is [1, 1, 0, 32]; expected sides of 1 to 4096 pixels"),
    ],
)
def test_a_card_that_is_no_detectors_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = models.card()
    assert text.count(old) == 1
    with pytest.raises(ModelError) as caught:
        detection.check(DetectorOptions(str(models.write(tmp_path, text.replace(old, new)))))
    assert message in str(caught.value)


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(SettingsError) as caught:
        detection.open_detector(DetectorOptions("yolo"))
    assert str(caught.value) == "unknown detector 'yolo'; choose from warm-blobs (or give a model's folder: ./NAME)"


def test_the_documented_detector_of_another_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models.card()  # skips without the documentation
    (tmp_path / "everybody.py").write_text(models.PAGE.read_text().split("```python\n", 1)[1].split("```", 1)[0])
    monkeypatch.syspath_prepend(tmp_path)
    plugin = EntryPoint("everybody", "everybody:Everybody", "edgefuse.detectors")
    monkeypatch.setattr(metadata, "entry_points", lambda group: [plugin] if group == plugin.group else [])
    options = DetectorOptions("everybody")
    detection.check(options)
    (detections,) = detection.open_detector(options).detect(look(bright(0)))
    assert (detections.area, detections.score) == (1.0, 1.0)


def test_classes_orders_overlaps_and_impossible_boxes() -> None:
    given = [
        (0.1, 0.2, 0.5, 0.4),
        (0.11, 0.2, 0.5, 0.4),
        (0.1, 0.6, 0.5, 0.8),
        (0.5, 0.5, 0.4, 0.6),
        (np.nan, 0, 1, 1),
        (-0.2, 0.9, 1.3, 2),
    ]
    outputs = {
        "boxes": np.array([given], np.float32),
        "scores": np.array([[0.8, 0.9, 0.7, 0.9, 0.9, 2.0]], np.float32),
        "classes": np.array([[0, 0, 2, 0, 0, 0]], np.float32),
    }
    detections = people(outputs, "tlbr", True, 0.5, "m")
    assert [(round(d.left, 2), round(d.top, 2), round(d.right, 2), round(d.bottom, 2), round(d.score, 2)) for d in detections] == [
        (0.9, 0.0, 1.0, 1.0, 1.0),
        (0.2, 0.11, 0.4, 0.5, 0.9),
    ]
    assert len(people(outputs, "ltrb", False, 0.75, "m")) == 2
    with pytest.raises(ModelError, match="expected boxes"):
        people(outputs | {"scores": np.zeros((1, 3), np.float32)}, "ltrb", False, 0.5, "m")


@pytest.mark.parametrize(("colour", "expected"), [("grey", [29]), ("RGB", [0, 0, 255]), ("BGR", [255, 0, 0])])
def test_pictures_become_tensors_of_the_cards_colour_size_and_range(colour: str, expected: list[int]) -> None:
    blue = np.zeros((10, 20, 3), np.uint8)
    blue[..., 0] = 255
    wanted = Tensor("fused", (1, 8, 16, len(expected)), "NHWC", "float32", (-1.0, 1.0), colour)
    made = tensor(blue, wanted)
    assert (made.shape, made.dtype) == ((len(expected), 8, 16), np.float32)
    assert made[:, 0, 0].tolist() == pytest.approx([v / 127.5 - 1 for v in expected], abs=1e-6)
    free = Tensor("infrared", (1, 1, "height", "width"), "NCHW", "float32", (0.0, 255.0), "grey")
    assert tensor(blue[..., 0], free).shape == (1, 10, 20)
