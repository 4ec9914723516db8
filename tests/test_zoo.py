"""Model cards: errors name what is broken, and modified files are refused."""

from __future__ import annotations

import hashlib
import json
import tomllib
from importlib import metadata
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from edgefuse import zoo
from edgefuse.errors import ModelError
from edgefuse.runtimes.golden import verify
from edgefuse.zoo import Tensor, read_card

WEIGHTS = b"weights"
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()
VISIBLE = {"name": "visible", "shape": ["n", 1, "h", "w"], "layout": "NCHW", "dtype": "float32", "range": [0, 1], "colour": "luma"}
FILE = {"name": "m.npz", "runtime": "numpy", "precision": "fp32", "layout": "NCHW", "quantisation": "none", "sha256": DIGEST}


def card() -> dict[str, Any]:
    return {
        "name": "mine", "title": "Mine", "task": "fusion", "source": "here", "licence": "Apache-2.0", "default_precision": "fp32",
        "inputs": [VISIBLE, VISIBLE | {"name": "infrared"}], "outputs": [VISIBLE | {"name": "fused"}],
        "files": [FILE, FILE | {"name": "m.onnx", "runtime": "onnx", "precision": "int8"}],
        "golden": {"file": "golden.npz", "sha256": DIGEST, "tolerance": {"fp32": 0.001, "int8": 0.02}},
        "cost": {"parameters": 33000}, "training": {"pairs": 100}, "quality": {"ssim": 0.9},
    }  # fmt: skip


def toml(value: Any) -> str:
    """Convert to TOML: strings, numbers and lists are written as in JSON, tables with equals signs."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    return "[" + ", ".join(map(toml, value)) + "]" if isinstance(value, list) else json.dumps(value)


def put(folder: Path, content: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "card.toml").write_text("".join(f"{k} = {toml(v)}\n" for k, v in content.items()))
    for name in ("m.npz", "m.onnx", "golden.npz"):
        (folder / name).write_bytes(WEIGHTS)
    return folder


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two models that replaces the built-in ones."""
    for name in ("two", "one"):
        put(tmp_path / name, card() | {"name": name})
    (tmp_path / "no model").mkdir()
    monkeypatch.setattr(zoo, "BUILT_IN", tmp_path)
    return tmp_path


def test_a_model_file_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = read_card(put(tmp_path, card())).files[0]
    assert file.verified() == WEIGHTS
    monkeypatch.setattr(zoo, "MOST_BYTES", len(WEIGHTS) - 1)
    with pytest.raises(ModelError, match=r"m\.npz: 0 MB, more than 0 MB"):
        file.verified()


def test_a_card_is_read_whole(tmp_path: Path) -> None:
    read = read_card(put(tmp_path, card()))
    assert (read.name, read.title, read.task, read.source, read.licence) == ("mine", "Mine", "fusion", "here", "Apache-2.0")
    assert (read.default_precision, read.precisions) == ("fp32", ["fp32", "int8"])
    assert [t.name for t in read.inputs] == ["visible", "infrared"]
    assert read.outputs == (Tensor("fused", ("n", 1, "h", "w"), "NCHW", "float32", (0.0, 1.0), "luma"),)
    assert read.tolerance == {"fp32": 0.001, "int8": 0.02}
    assert (read.cost, read.training, read.quality) == ({"parameters": 33000}, {"pairs": 100}, {"ssim": 0.9})
    file = read.file("onnx", "int8")
    assert file is not None
    assert file.path == tmp_path / "m.onnx"
    assert file.verified() == WEIGHTS
    assert read.golden is not None
    assert read.golden.verified() == WEIGHTS
    assert read.file("onnx", "fp32") is None


@pytest.mark.parametrize("key", card())
def test_a_missing_key_is_named_with_its_file(tmp_path: Path, key: str) -> None:
    content = card()
    del content[key]
    with pytest.raises(ModelError) as caught:
        read_card(put(tmp_path, content))
    assert str(caught.value) == f"{tmp_path}/card.toml: the key '{key}' is missing; docs/reference/models.md lists what a card holds"


@pytest.mark.parametrize(
    ("table", "key"),
    [("inputs", k) for k in VISIBLE] + [("files", k) for k in FILE] + [("golden", k) for k in ("file", "sha256", "tolerance")],
)
def test_a_missing_key_of_a_table_is_named(tmp_path: Path, table: str, key: str) -> None:
    content = card()
    target = dict(content[table] if table == "golden" else content[table][0])
    del target[key]
    content[table] = target if table == "golden" else [target]
    with pytest.raises(ModelError, match=rf"card\.toml: the key '{key}' is missing"):
        read_card(put(tmp_path, content))


def test_a_closed_form_needs_no_golden_pair(tmp_path: Path) -> None:
    content = card() | {"files": []}
    del content["golden"]
    read = read_card(put(tmp_path, content))
    assert (read.files, read.golden, read.tolerance, read.precisions) == ((), None, {}, [])
    assert verify(read) == []


WRONG = [
    ("files", "m.npz"),
    ("files", ["m.npz"]),
    ("files", 5),
    ("inputs", [5]),
    ("inputs", [VISIBLE | {"range": [0]}]),
    ("inputs", [VISIBLE | {"range": ["a", "b"]}]),
    ("inputs", [VISIBLE | {"shape": 5}]),
    ("golden", "golden.npz"),
    ("golden", {"file": "golden.npz", "sha256": DIGEST, "tolerance": 0.1}),
    ("golden", {"file": "golden.npz", "sha256": DIGEST, "tolerance": {"fp32": "x"}}),
    ("golden", {"file": 5, "sha256": DIGEST, "tolerance": {}}),
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_value_of_the_wrong_kind_is_a_model_error_that_names_the_file(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(ModelError, match=r"card\.toml: .*; docs/reference/models\.md lists what a card holds$"):
        read_card(put(tmp_path, card() | {key: value}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *WRONG,
        ("name", 5),
        ("default_precision", 8),
        ("cost", "little"),
        ("files", [FILE | {"sha256": 5}]),
        ("files", [FILE | {"runtime": 5}]),
        ("inputs", {}),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_its_key(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(ModelError) as caught:
        read_card(put(tmp_path, card() | {key: value}))
    assert key in str(caught.value).removeprefix(str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"name = ", b"\xff\xfe", b"name = 'a'\nname = 'b'\n"])
def test_what_is_no_card_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "card.toml").write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_card(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/card.toml: ")
    assert "missing" in str(caught.value) if content == b"" else "not valid TOML (" in str(caught.value)


def test_a_folder_without_a_card(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"card\.toml: No such file or directory; a model folder holds a card\.toml$"):
        zoo.find(f"{tmp_path}/")


@pytest.mark.parametrize("name", ["../m.npz", "/etc/passwd", "sub/m.npz", "./m.npz", ".", "m.npz/"])
@pytest.mark.parametrize("where", ["files", "golden"])
def test_a_file_name_that_leaves_the_folder_is_refused(tmp_path: Path, where: str, name: str) -> None:
    content = card()
    if where == "files":
        content["files"] = [FILE | {"name": name}]
    else:
        content["golden"] = content["golden"] | {"file": name}
    with pytest.raises(ModelError) as caught:
        read_card(put(tmp_path, content))
    assert f"card.toml: file name {name!r} leaves the model's folder" in str(caught.value)


@pytest.mark.parametrize("name", ["..", "", "a\0b"])
def test_what_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"card\.toml: "):
        read_card(put(tmp_path, card() | {"files": [FILE | {"name": name}]}))


def test_a_file_with_another_digest_is_refused(tmp_path: Path) -> None:
    read = read_card(put(tmp_path, card()))
    (tmp_path / "m.npz").write_bytes(WEIGHTS + b"!")
    digest = hashlib.sha256(WEIGHTS + b"!").hexdigest()
    with pytest.raises(ModelError) as caught:
        read.files[0].verified()
    assert str(caught.value).startswith(f"{tmp_path}/m.npz: sha256 is {digest[:12]}..., card.toml says {DIGEST[:12]}...; ")


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    read = read_card(put(tmp_path, card()))
    (tmp_path / "m.npz").unlink()
    with pytest.raises(ModelError, match=r"/m\.npz: No such file or directory; reinstall edgefuse, or restore the file"):
        read.files[0].verified()


def test_models_are_found_by_name_and_by_folder(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [c.name for c in zoo.cards()] == ["one", "two"]
    assert zoo.find("two").folder == models / "two"
    monkeypatch.chdir(models)
    assert zoo.find("./one").name == "one"
    assert zoo.find("./one").folder == models / "one"
    monkeypatch.setenv("HOME", str(models))
    assert zoo.find("~/two").name == "two"


def test_an_unknown_model_lists_the_known_ones(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError) as caught:
        zoo.find("three")
    assert str(caught.value) == "unknown model 'three'; choose from one, two (or give a folder: ./NAME)"
    monkeypatch.setattr(zoo, "BUILT_IN", models / "no model")
    with pytest.raises(ModelError, match=r"^unknown model 'three'; choose from none \(or"):
        zoo.find("three")


def test_a_package_can_add_models_but_not_replace_ours(
    models: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = tmp_path_factory.mktemp("foreign")
    for name in ("one", "three"):
        put(foreign / name, card() | {"name": name})
    monkeypatch.setattr(metadata, "entry_points", lambda group: [EntryPoint("extra", f"{__name__}:_FOREIGN", group)])
    monkeypatch.setattr(f"{__name__}._FOREIGN", str(foreign))
    assert [c.folder for c in zoo.cards()] == [models / "one", models / "two", foreign / "one", foreign / "three"]
    assert zoo.find("one").folder == models / "one"
    assert zoo.find("three").folder == foreign / "three"


_FOREIGN = ""


@pytest.mark.parametrize("name", ["~no-such-user/model", "./loop/model"])
def test_a_folder_that_can_t_be_resolved_is_a_model_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ModelError):
        zoo.find(name)


def test_the_wheel_carries_every_model_but_the_large_one() -> None:
    project = Path(__file__).resolve().parents[1] / "pyproject.toml"
    if not project.exists():
        pytest.skip("beside an installed wheel: there is no pyproject.toml")
    carried = tomllib.loads(project.read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert {Path(p).name for p in carried if p.startswith("models/")} == {p.parent.name for p in zoo.BUILT_IN.glob("*/card.toml")} - {
        "nestfuse"
    }
