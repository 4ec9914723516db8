"""The folder layouts of public datasets, as synthetic trees: which pairs are found, their names, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefuse.errors import FrameError, SettingsError, SourceError
from edgefuse.sources import open_source
from edgefuse.sources.base import Source
from edgefuse.sources.dataset_layouts import LAYOUTS
from edgefuse.sources.file_names import camera_and_name, match_names

VISIBLE, INFRARED = np.full((6, 8, 3), 200, np.uint8), np.full((6, 8), 90, np.uint8)


def tree(root: Path, visible: list[str], infrared: list[str]) -> None:
    """Write image files: the visible camera's are bright, the infrared camera's dark."""
    for names, picture in ((visible, VISIBLE), (infrared, INFRARED)):
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            done, data = cv2.imencode(path.suffix.lower(), picture)
            assert done
            path.write_bytes(data.tobytes())


def read(source: Source) -> tuple[list[str], list[str]]:
    """Return (names of complete pairs, causes and names of lost ones), checking that each frame is of the right camera."""
    names, lost = [], []
    with source:
        while True:
            try:
                pair = source.read()
            except FrameError as e:
                lost.append(f"{e.cause} {e.name}")
                continue
            if pair is None:
                return names, lost
            assert pair.visible.data.mean() > 150
            assert pair.infrared.data.mean() < 150
            names.append(pair.name)


TREES = {
    "plain": (["visible/a.png", "visible/b.png"], ["infrared/a.png", "infrared/b.jpg"], ["a", "b"], "plain (visible with infrared)"),
    "upper case": (["VISIBLE/a.PNG"], ["Infrared/a.BMP"], ["a"], "plain (VISIBLE with Infrared)"),
    "RoadScene": (
        ["crop_LR_visible/FLIR_00006.jpg", "crop_HR_visible/FLIR_00006.jpg"], ["cropinfrared/FLIR_00006.jpg"], ["FLIR_00006"],
        "RoadScene (crop_LR_visible with cropinfrared)",
    ),
    "MSRS, one split": (["test/vi/00004N.png"], ["test/ir/00004N.png"], ["00004N"], "MSRS (test/vi with test/ir)"),
    "MSRS, inside a split": (["vi/00004N.png"], ["ir/00004N.png"], ["00004N"], "MSRS, TNO or VIFB (vi with ir)"),
    "M3FD": (["Vis/00000.png"], ["Ir/00000.png"], ["00000"], "M3FD, TNO or VIFB (Vis with Ir)"),
    "TNO, two folders": (["VIS/VIS1.png", "VIS/VIS2.png"], ["IR/IR1.png", "IR/IR2.png"], ["VIS1", "VIS2"], "M3FD, TNO or VIFB"),
    "VIFB": (
        ["input/VI/carLight.jpg", "input/VI/peopleshadow.jpg"], ["input/IR/carLight.jpg", "input/IR/peopleShadow.jpg"],
        ["carLight", "peopleshadow"], "VIFB (input/VI with input/IR)",
    ),
    "LLVIP, one split": (["visible/test/190001.jpg"], ["infrared/test/190001.jpg"], ["190001"], "LLVIP (visible/test with infrared/test)"),
    "KAIST": (
        ["set00/V000/visible/I00000.jpg", "set00/V001/visible/I00000.jpg", "set10/V000/visible/I00000.jpg"],
        ["set00/V000/lwir/I00000.jpg", "set00/V001/lwir/I00000.jpg", "set10/V000/lwir/I00000.jpg"],
        ["set00_V000_I00000", "set00_V001_I00000", "set10_V000_I00000"], "KAIST (set*/V*/visible with set*/V*/lwir, 3 folders)",
    ),
    "KAIST, in images": (
        ["images/set00/V000/visible/I00000.jpg"], ["images/set00/V000/lwir/I00000.jpg"], ["set00_V000_I00000"],
        "KAIST (images/set*/V*/visible with images/set*/V*/lwir, 1 folder)",
    ),
    "KAIST, one set": (["V000/visible/I00000.jpg"], ["V000/lwir/I00000.jpg"], ["V000_I00000"], "KAIST (V*/visible with V*/lwir, 1 folder)"),
    "KAIST, one video": (["visible/I00000.jpg"], ["lwir/I00000.jpg"], ["I00000"], "KAIST (visible with lwir)"),
    "FLIR ADAS 1": (["train/RGB/FLIR_00001.jpg"], ["train/thermal_8_bit/FLIR_00001.jpeg"], ["FLIR_00001"], "FLIR ADAS 1 (train/RGB with"),
    "FLIR ADAS 1, the video": (
        ["video/RGB/FLIR_video_00001.jpg"], ["video/thermal_8_bit/FLIR_video_00001.jpeg"], ["FLIR_video_00001"],
        "FLIR ADAS 1 (video/RGB with video/thermal_8_bit)",
    ),
    "FLIR ADAS 1, aligned": (
        ["JPEGImages/FLIR_00002_RGB.jpg", "JPEGImages/FLIR_00010_RGB.jpg"],
        ["JPEGImages/FLIR_00002_PreviewData.jpeg", "JPEGImages/FLIR_00010_PreviewData.jpeg"],
        ["JPEGImages_FLIR_00002_RGB", "JPEGImages_FLIR_00010_RGB"], "cameras told by file names, as TNO's tree (1 folder)",
    ),
    "other names": (["rgb/1.png"], ["thermal/1.png"], ["1"], "two folders (rgb with thermal)"),
    "TNO, as published": (
        [
            "Athena_images/lake/VIS_lake_r.bmp", "Athena_images/airplane_in_trees/vis.bmp", "Triclobs_images/Kaptein_01/Vis01.bmp",
            "Triclobs_images/Reek/Reek_Vis.bmp", "Triclobs_images/barbed_wire_2/a_VIS-MarnehNew_24RGB_1110.tif", "tank/Vis.tif",
            "FEL_images/Duine_sequence/visual/7v.bmp", "FEL_images/Duine_sequence/visual/8v.bmp", "DHV_images/bench/VIS_37dhvR.bmp",
        ],
        [
            "Athena_images/lake/IR_lake_g.bmp", "Athena_images/airplane_in_trees/ir.bmp", "Triclobs_images/Kaptein_01/IR01.bmp",
            "Triclobs_images/Kaptein_01/NIR01.bmp", "Triclobs_images/Reek/Reek_IR.bmp", "Triclobs_images/Reek/Reek_II.bmp",
            "Triclobs_images/barbed_wire_2/c_LWIR-MarnehNew_24RGB_1110.tif", "tank/LWIR.tif",
            "FEL_images/Duine_sequence/thermal/7i.bmp", "FEL_images/Duine_sequence/thermal/8i.bmp", "DHV_images/bench/IR_37rad.bmp",
        ],
        [
            "Athena_images_airplane_in_trees_vis", "Athena_images_lake_VIS_lake_r", "DHV_images_bench_VIS_37dhvR",
            "FEL_images_Duine_sequence_7v", "FEL_images_Duine_sequence_8v", "tank_Vis", "Triclobs_images_Kaptein_01_Vis01",
            "Triclobs_images_Reek_Reek_Vis", "Triclobs_images_barbed_wire_2_a_VIS-MarnehNew_24RGB_1110",
        ],
        "cameras told by file names, as TNO's tree (8 folders)",
    ),
    "TNO, one folder": (["1v.bmp", "2v.bmp"], ["1i.bmp", "2i.bmp"], ["1v", "2v"], "cameras told by file names, as TNO's tree (1 folder)"),
    "TNO, prefixes": (["VIS_3.bmp", "VIS_1.bmp"], ["IR_1.bmp", "IR_3.bmp"], ["VIS_1", "VIS_3"], "cameras told by file names"),
}  # fmt: skip


@pytest.mark.parametrize("name", TREES)
def test_each_layout_is_found_and_said(tmp_path: Path, name: str) -> None:
    visible, infrared, names, said = TREES[name]
    tree(tmp_path, visible, infrared)
    source = open_source(f"folder:{tmp_path}")
    assert source.info.layout.startswith(said)
    assert source.info.pairs == len(names)
    assert ("not registered" in source.info.warning) == (name in ("FLIR ADAS 1", "FLIR ADAS 1, the video"))
    pairs_read, lost = read(source)
    assert (sorted(pairs_read), lost) == (sorted(names), [])


def test_infrared_in_three_equal_channels_is_read(tmp_path: Path) -> None:
    tree(tmp_path, ["Vis/1.png"], [])
    (tmp_path / "Ir").mkdir()
    cv2.imwrite(str(tmp_path / "Ir" / "1.png"), np.full((6, 8, 3), 90, np.uint8))
    assert read(open_source(f"folder:{tmp_path}")) == (["1"], [])


def flir(root: Path, table: object) -> None:
    tree(
        root,
        [
            "video_rgb_test/data/video-A-frame-0-x.jpg",
            "video_rgb_test/data/video-A-frame-1-x.jpg",
            "images_rgb_train/data/video-C-frame-0-x.jpg",
        ],
        [
            "video_thermal_test/data/video-B-frame-7-y.jpg",
            "video_thermal_test/data/video-B-frame-8-y.jpg",
            "images_thermal_train/data/q.jpg",
        ],
    )
    if table is not None:
        (root / "rgb_to_thermal_vid_map.json").write_text(json.dumps(table))


def test_flir_adas_2_is_paired_by_its_table_and_warned_of(tmp_path: Path) -> None:
    flir(tmp_path, {"video-A-frame-0-x.jpg": "video-B-frame-7-y.jpg", "video-A-frame-1-x.jpg": "video-B-frame-9-y.jpg"})
    source = open_source(f"folder:{tmp_path}")
    assert source.info.layout == "FLIR ADAS 2 (video_rgb_test/data with video_thermal_test/data)"
    assert "not registered" in source.info.warning
    assert read(source) == (["video-A-frame-0-x"], ["unpaired video-A-frame-1-x", "unpaired video-B-frame-8-y"])


def test_flir_adas_2_of_which_the_table_names_the_training_frames(tmp_path: Path) -> None:
    flir(tmp_path, {"video-C-frame-0-x.jpg": "q.jpg"})
    assert read(open_source(f"folder:{tmp_path}")) == (["video-C-frame-0-x"], [])


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (None, "rgb_to_thermal_vid_map.json is missing, which lists the pairs"),
        ({"other.jpg": "names.jpg"}, "were not taken together; use video_rgb_test and video_thermal_test"),
        ([1, 2], "not a JSON table"),
    ],
)
def test_flir_adas_2_without_its_table(tmp_path: Path, table: object, words: str) -> None:
    flir(tmp_path, table)
    with pytest.raises(SourceError) as caught:
        open_source(f"folder:{tmp_path}")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("visible", "infrared"),
    [
        (["train/vi/1.png", "test/vi/1.png"], ["train/ir/1.png", "test/ir/1.png"]),
        (["visible/train/1.png", "visible/test/1.png"], ["infrared/train/1.png", "infrared/test/1.png"]),
        (["visible/1.png", "vi/1.png"], ["infrared/1.png", "ir/1.png"]),
        (["vis/1.png", "vi/1.png"], ["ir/1.png"]),
        (["rgb/1.png", "color/1.png"], ["thermal/1.png"]),
        (["a,b?/test/vi/1.png", "a,b?/val/vi/1.png"], ["a,b?/test/ir/1.png", "a,b?/val/ir/1.png"]),
    ],
)
def test_what_is_ambiguous_is_refused_with_what_to_write(tmp_path: Path, visible: list[str], infrared: list[str]) -> None:
    root = tmp_path / "a,b?" if visible[0].startswith("a,") else tmp_path
    tree(tmp_path, visible, infrared)
    with pytest.raises(SourceError) as caught:
        open_source(f"folder:{str(root).replace(',', '%2C').replace('?', '%3F')}")
    assert "has 2 sets of pairs: " in str(caught.value)
    written = re.search(r"choose one: '(folder:.*\?visible=.*&infrared=.*)'$", str(caught.value))
    assert written is not None
    source = open_source(written[1])
    assert source.info.layout == ""
    assert read(source) == (["1"], [])


def test_a_split_of_which_a_half_is_missing_is_no_choice(tmp_path: Path) -> None:
    tree(tmp_path, ["train/vi/1.png", "test/vi/2.png"], ["test/ir/2.png"])
    assert read(open_source(f"folder:{tmp_path}")) == (["2"], [])


def test_half_missing_pairs_are_counted_and_named(tmp_path: Path) -> None:
    visible = ["set00/V000/visible/I00000.jpg", "set00/V000/visible/I00001.jpg", "set00/V002/visible/I00000.jpg"]
    tree(tmp_path, visible, ["set00/V000/lwir/I00000.jpg", "set00/V000/lwir/I00002.jpg", "set00/V001/lwir/I00000.jpg"])
    names, lost = read(open_source(f"folder:{tmp_path}"))
    assert names == ["set00_V000_I00000"]
    assert lost == [f"unpaired set00_{name}" for name in ("V000_I00001", "V000_I00002", "V001_I00000", "V002_I00000")]


def test_scenes_of_one_camera_and_images_of_none_are_said(tmp_path: Path) -> None:
    tree(tmp_path, ["lake/VIS_r.bmp", "bunker/bunker_r.bmp", "APC_2/1_fk_ge.bmp"], ["lake/IR_g.bmp", "bunker/IR_bunker_g.bmp"])
    source = open_source(f"folder:{tmp_path}")
    assert source.info.warning == f"2 images in {tmp_path} skipped: their names tell no camera"
    assert read(source) == (["lake_VIS_r"], ["unpaired bunker_IR_bunker_g"])


def test_two_files_that_could_be_the_partner_are_none(tmp_path: Path) -> None:
    tree(tmp_path, ["vi/Scene.png"], ["ir/scene.png", "ir/SCENE.png", "ir/x.png"])
    tree(tmp_path, ["vi/x.png"], [])
    names, lost = read(open_source(f"folder:{tmp_path}"))
    assert names == ["x"]
    assert sorted(lost) == ["unpaired SCENE", "unpaired Scene", "unpaired scene"]


def test_equal_names_go_before_similar_ones(tmp_path: Path) -> None:
    tree(tmp_path, ["vi/a.png", "vi/A.png"], ["ir/A.png", "ir/a.png"])
    assert sorted(read(open_source(f"folder:{tmp_path}"))[0]) == ["A", "a"]


def test_folders_by_name(tmp_path: Path) -> None:
    tree(tmp_path, ["left/1.png", "visible/2.png"], ["heat/1.png", "infrared/2.png"])
    source = open_source(f"folder:{tmp_path}?visible=left&infrared=heat&fps=5")
    assert (source.info.fps, source.info.paths) == (5, (tmp_path / "left", tmp_path / "heat"))
    assert read(source) == (["1"], [])
    for uri in (f"folder:{tmp_path}?visible=left", f"folder:{tmp_path},{tmp_path}?visible=left&infrared=heat"):
        with pytest.raises(SettingsError, match=r"expected both names, as in folder:DIR\?visible=NAME&infrared=NAME"):
            open_source(uri)
    with pytest.raises(SourceError, match=r"cannot list .*/right: No such file or directory"):
        open_source(f"folder:{tmp_path}?visible=right&infrared=heat")


def test_folders_with_nothing_that_could_be_a_pair(tmp_path: Path) -> None:
    tree(tmp_path, ["one.png", "deep/two.png"], [])
    with pytest.raises(SourceError, match="no visible/ and infrared/ inside; make it, or give folder:VISIBLE_DIR,INFRARED_DIR"):
        open_source(f"folder:{tmp_path}")


def test_several_datasets_in_one_folder_are_no_dataset(tmp_path: Path) -> None:
    tree(tmp_path, ["tno/visible/1.png", "tno/visible/2.png"], ["tno/infrared/1.png", "tno/infrared/2.png"])
    tree(tmp_path, ["other/VIS_1.png"], ["other/IR_1.png"])
    with pytest.raises(SourceError, match="no visible/ and infrared/ inside"):
        open_source(f"folder:{tmp_path}")


def test_a_folder_of_too_many_folders_is_no_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgefuse.sources.file_names._MOST_FOLDERS", 5)
    for k in range(6):
        (tmp_path / str(k)).mkdir()
    with pytest.raises(SourceError, match="has more than 5 folders; give the one with the pairs"):
        open_source(f"folder:{tmp_path}")


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("VIS_meting003_r", ("visible", "meting-003-r")),
        ("IR_hei_vis_g", ("infrared", "hei-vis-g")),
        ("NIR-MarnehNew_24RGB_1110", ("other", "marnehnew-24-rgb-1110")),
        ("FLIR_00002_PreviewData", ("infrared", "flir-00002")),
        ("7v", ("visible", "7")),
        ("0012i", ("infrared", "0012")),
        ("visit_1", (None, "visit-1")),
        ("v1", (None, "v-1")),
        ("", (None, "")),
    ],
)
def test_names_tell_cameras(stem: str, expected: tuple[str | None, str]) -> None:
    assert camera_and_name(stem) == expected


@given(st.lists(st.text("aA1_v", min_size=1, max_size=3), unique=True), st.lists(st.text("aA1_i", min_size=1, max_size=3), unique=True))
def test_no_file_is_lost_or_taken_twice(visible: list[str], infrared: list[str]) -> None:
    sides = [{name: [Path(camera, name)] for name in names} for camera, names in (("v", visible), ("i", infrared))]
    for before, after in zip(sides, match_names(*sides), strict=True):
        assert sorted(f for files in after.values() for f in files) == sorted(f for files in before.values() for f in files)
    assert all(after[name] == [Path("i", name)] for name in {*visible} & {*infrared})


def test_the_table_s_patterns_are_pairs() -> None:
    for layout in LAYOUTS:
        for mark in ("*", "{split}"):
            assert layout.visible.count(mark) == layout.infrared.count(mark)
