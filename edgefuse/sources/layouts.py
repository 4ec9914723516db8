"""How public datasets lay out their pairs: folders, file names, and which of them `folder:DIR` finds in DIR.

`LAYOUTS` is the table: two patterns of folders below DIR. Names are compared without case; `|` separates alternatives of one name.
`{split}` stands for one of `SPLITS`: each split is a set of pairs of its own, so that two of them are ambiguous. `*` stands for any name:
all folders that match make one set (KAIST's videos). Where no row fits, cameras may be told by file names (`named`), as in TNO's own tree.

Sources of the rows: the datasets' own README files and public loaders of them, read in 2026.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from edgefuse.errors import SourceError
from edgefuse.sources.named import by_names, listing, tell_apart

Files = dict[str, list[Path]]  # the files of each name; more than one where a name is ambiguous

SPLITS = ("train", "test", "val", "validation", "detection")
_UNREGISTERED = "the frames of FLIR ADAS are not registered: run edgefuse calibrate, then edgefuse run --calibration FILE"
_NO_PAIRS = "its frames of the two cameras were taken apart from one another; take video_rgb_test and video_thermal_test"


@dataclass(frozen=True, slots=True)
class Layout:
    """name: the dataset's. visible, infrared: patterns of folders. table: a JSON file in DIR, {visible file: infrared file}, that says
    which belong together. warning: what a user of it has to know."""

    name: str
    visible: str
    infrared: str
    table: str = ""
    warning: str = ""


LAYOUTS = (
    Layout("plain", "visible", "infrared"),
    Layout("RoadScene", "crop_LR_visible", "cropinfrared"),
    Layout("MSRS, TNO or VIFB", "vi", "ir"),
    Layout("M3FD, TNO or VIFB", "vis", "ir"),
    Layout("VIFB", "input/vi|vis", "input/ir"),
    Layout("MSRS", "{split}/vi", "{split}/ir"),
    Layout("M3FD", "{split}/vis", "{split}/ir"),
    Layout("plain", "{split}/visible", "{split}/infrared"),
    Layout("LLVIP", "visible/{split}", "infrared/{split}"),
    Layout("KAIST", "visible", "lwir"),
    Layout("KAIST", "V*/visible", "V*/lwir"),
    Layout("KAIST", "set*/V*/visible", "set*/V*/lwir"),
    Layout("KAIST", "images/set*/V*/visible", "images/set*/V*/lwir"),
    Layout("FLIR ADAS 1", "rgb", "thermal_8_bit", warning=_UNREGISTERED),
    Layout("FLIR ADAS 1", "{split}/rgb", "{split}/thermal_8_bit", warning=_UNREGISTERED),
    Layout("FLIR ADAS 2", "video_rgb_test/data", "video_thermal_test/data", "rgb_to_thermal_vid_map.json", _UNREGISTERED),
    Layout("FLIR ADAS 2", "images_rgb_{split}/data", "images_thermal_{split}/data", "rgb_to_thermal_vid_map.json", _UNREGISTERED),
)
# only where none of the above fits: no dataset's, but what people call such folders
OTHERS = (
    Layout("two folders", "visible|vis|vi|rgb|visual|colour|color", "infrared|ir|lwir|thermal|tir"),
    Layout("two folders", "{split}/visible|vis|vi|rgb|visual|colour|color", "{split}/infrared|ir|lwir|thermal|tir"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """Files of each camera by the pair's name. folders: where they are, one a camera, for messages. paths: all that is read from.
    layout: which it is, in words, "" where the folders were given. warning: "" where there is none."""

    visible: Files
    infrared: Files
    folders: tuple[Path, Path]
    paths: tuple[Path, ...]
    layout: str = ""
    warning: str = ""

    @property
    def images(self) -> int:
        return sum(map(len, (*self.visible.values(), *self.infrared.values())))


def given(visible: Path, infrared: Path) -> Found:
    """The files of two folders. Raises SourceError where one can't be listed."""
    return Found(*tell_apart(listing(visible), listing(infrared)), (visible, infrared), (visible, infrared))


def find(root: Path) -> Found:
    """The one set of pairs in `root`. Raises SourceError where there is none or more than one, with what to write."""
    # os.path answers False where Path.is_dir raises: a name too long, a folder that can't be entered
    if not os.path.isdir(root):  # noqa: PTH112
        raise SourceError(f"{root}: no such folder; give one with visible/ and infrared/ inside")
    candidates: list[Found] = []
    for rows in (LAYOUTS, OTHERS):
        candidates = _distinct(found for layout in rows for found in _sets(root, layout))
        if candidates:
            break
    full = [found for found in candidates if found.images]
    if not full and (named := _named(root)) is not None:
        full = [named]
    if len(full) > 1:
        raise SourceError(_ambiguous(root, full))
    if full:
        return full[0]
    if not candidates:
        raise SourceError(_nothing(root))
    if candidates[0].warning == _NO_PAIRS:
        raise SourceError(f"no pairs: {root} is {candidates[0].layout}, and {_NO_PAIRS}")
    return candidates[0]


def _sets(root: Path, layout: Layout) -> Iterator[Found]:
    """Each set of pairs that the layout has in `root`."""
    for split in SPLITS if "{split}" in layout.visible else ("",):
        sides = [_expanded(root, pattern.replace("{split}", split)) for pattern in (layout.visible, layout.infrared)]
        if not all(sides):
            continue
        if "*" in layout.visible:
            yield _joined(root, layout, *sides)
            continue
        # more than one where names differ by case alone, or by alternatives
        for visible in sides[0].values():
            yield from (_one(root, layout, visible, infrared) for infrared in sides[1].values())


def _one(root: Path, layout: Layout, visible: Path, infrared: Path) -> Found:
    said = f"{layout.name} ({visible.relative_to(root)} with {infrared.relative_to(root)})"
    found = replace(given(visible, infrared), layout=said, warning=layout.warning)
    return _by_table(root / layout.table, found) if layout.table else found


def _joined(root: Path, layout: Layout, *sides: dict[tuple[str, ...], Path]) -> Found:
    """All folders that match, as one set; a pair's name begins with its folders'."""
    visible, infrared = Files(), Files()
    for key in sorted(sides[0].keys() | sides[1].keys()):
        parts = [listing(side[key]) if key in side else Files() for side in sides]
        for whole, part in zip((visible, infrared), tell_apart(*parts), strict=True):
            whole.update({"_".join((*key, name)): files for name, files in part.items()})
    count = len(sides[0].keys() | sides[1].keys())
    said = f"{layout.name} ({layout.visible} with {layout.infrared}, {count} folder{'s' if count > 1 else ''})"
    return Found(visible, infrared, (root / layout.visible, root / layout.infrared), (root,), said, layout.warning)


def _by_table(table: Path, found: Found) -> Found:
    """Names the infrared files as the visible ones that `table` says they belong to, where there is such a file."""
    if not table.is_file():
        if found.visible.keys() & found.infrared.keys():
            return found
        raise SourceError(f"{found.layout}: {table.name} is missing, which says what belongs together; put it into {table.parent}")
    try:
        read = json.loads(table.read_text("utf-8"))
        listed = [(Path(str(a)).stem, Path(str(b)).stem) for a, b in read.items()]
    except (OSError, ValueError, AttributeError) as e:
        raise SourceError(f"{table}: not a JSON table of visible and infrared files ({e}); unpack it anew") from None
    partners = {b: a for a, b in listed if a in found.visible}
    if not partners:
        return replace(found, visible={}, infrared={}, warning=_NO_PAIRS)
    return replace(found, infrared={partners.get(name, name): files for name, files in found.infrared.items()})


def _named(root: Path) -> Found | None:
    found = by_names(root)
    if found is None:
        return None
    warning = f"{found.unknown} image{'s' if found.unknown > 1 else ''} in {root} left out: their names tell no camera"
    said = f"cameras told by file names, as TNO's tree ({found.scenes} folder{'s' if found.scenes > 1 else ''})"
    return Found(found.visible, found.infrared, (root, root), (root,), said, warning if found.unknown else "")


def _expanded(root: Path, pattern: str) -> dict[tuple[str, ...], Path]:
    """The folders that match, by what their wildcards stand for; by their own names where alternatives differ."""
    found: dict[tuple[str, ...], Path] = {(): root}
    segments = pattern.casefold().split("/")
    plain = "*" not in pattern
    for segment in segments:
        grown: dict[tuple[str, ...], Path] = {}
        for key, folder in found.items():
            for inner in _folders(folder):
                if any(fnmatchcase(inner.name.casefold(), one) for one in segment.split("|")):
                    grown[(*key, inner.name) if plain or "*" in segment else key] = inner
        found = grown
    return found


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir())
    except OSError:
        return []


def _distinct(candidates: Iterator[Found]) -> list[Found]:
    """One a pair of folders: rows may overlap, the first says what it is."""
    kept: dict[tuple[Path, ...], Found] = {}
    for found in candidates:
        kept.setdefault(found.folders, found)
    return list(kept.values())


def _ambiguous(root: Path, found: list[Found]) -> str:
    said = "; ".join(f.layout for f in found[:4]) + ("; ..." if len(found) > 4 else "")
    whole, *names = (re.sub("[%?,&]", lambda c: f"%{ord(c[0]):02X}", str(path)) for path in (root, *_within(root, found[0])))
    return f"{root} has {len(found)} sets of pairs: {said}; choose one: 'folder:{whole}?visible={names[0]}&infrared={names[1]}'"


def _within(root: Path, found: Found) -> list[Path]:
    return [folder.relative_to(root) for folder in found.folders]


def _nothing(root: Path) -> str:
    missing = [name for name in ("visible", "infrared") if not os.path.isdir(root / name)]  # noqa: PTH112
    known = "VISIBLE_DIR,INFRARED_DIR, or folder:DIR?visible=NAME&infrared=NAME"
    return f"{root}: no {'/ and '.join(missing)}/ inside; make it, or give folder:{known}"
