"""Folder layouts of public datasets, which `folder:DIR` recognises in DIR.

`LAYOUTS` lists two patterns of folders below DIR per layout. Names are compared case-insensitively; `|` separates alternatives of one name.
`{split}` matches one of `SPLITS`: each split is a separate set of pairs, so two of them are ambiguous. `*` matches any name: all matching
folders make one set (KAIST's videos). If no row matches, file names tell the cameras (`file_names`), as in TNO's original tree.

Sources: the datasets' README files and public loaders, read in 2026.
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
from edgefuse.sources.file_names import by_names, listing, match_names

Files = dict[str, list[Path]]  # files by name; more than one if a name is ambiguous

SPLITS = ("train", "test", "val", "validation", "detection")
_UNREGISTERED = "the frames of FLIR ADAS are not registered: run edgefuse calibrate, then edgefuse run --calibration FILE"
_NO_PAIRS = "its frames of the two cameras were not taken together; use video_rgb_test and video_thermal_test"


@dataclass(frozen=True, slots=True)
class Layout:
    """Folder layout of a public dataset.

    name: of the dataset. visible, infrared: folder patterns. table: a JSON file in DIR that lists the pairs, {visible file: infrared file}.
    warning: for users of the dataset.
    """

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
    Layout("FLIR ADAS 1", "video/rgb", "video/thermal_8_bit", warning=_UNREGISTERED),
    Layout("FLIR ADAS 2", "video_rgb_test/data", "video_thermal_test/data", "rgb_to_thermal_vid_map.json", _UNREGISTERED),
    Layout("FLIR ADAS 2", "images_rgb_{split}/data", "images_thermal_{split}/data", "rgb_to_thermal_vid_map.json", _UNREGISTERED),
)
# tried only if none of the above matches: common folder names of no dataset
OTHERS = (
    Layout("two folders", "visible|vis|vi|rgb|visual|colour|color", "infrared|ir|lwir|thermal|tir"),
    Layout("two folders", "{split}/visible|vis|vi|rgb|visual|colour|color", "{split}/infrared|ir|lwir|thermal|tir"),
)


@dataclass(frozen=True, slots=True)
class PairFiles:
    """Files of each camera by the pair's name. folders: one per camera, for messages. paths: all folders that are read.
    layout: description of the layout, "" if the folders were given. warning: "" if there is none."""

    visible: Files
    infrared: Files
    folders: tuple[Path, Path]
    paths: tuple[Path, ...]
    layout: str = ""
    warning: str = ""

    @property
    def images(self) -> int:
        return sum(map(len, (*self.visible.values(), *self.infrared.values())))


def given(visible: Path, infrared: Path) -> PairFiles:
    """Return the files of two folders. Raises SourceError if one can't be listed."""
    return PairFiles(*match_names(listing(visible), listing(infrared)), (visible, infrared), (visible, infrared))


def find(root: Path) -> PairFiles:
    """Return the only set of pairs in `root`. Raises SourceError, with the URI to use, if there is none or more than one."""
    # os.path.isdir returns False where Path.is_dir raises: names that are too long, folders without permission
    if not os.path.isdir(root):  # noqa: PTH112
        raise SourceError(f"{root}: no such folder; give one with visible/ and infrared/ inside")
    candidates: list[PairFiles] = []
    for rows in (LAYOUTS, OTHERS):
        candidates = _distinct(candidate for layout in rows for candidate in _sets(root, layout))
        if candidates:
            break
    full = [candidate for candidate in candidates if candidate.images]
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


def _sets(root: Path, layout: Layout) -> Iterator[PairFiles]:
    """Yield each set of pairs that matches the layout in `root`."""
    for split in SPLITS if "{split}" in layout.visible else ("",):
        sides = [_expanded(root, pattern.replace("{split}", split)) for pattern in (layout.visible, layout.infrared)]
        if not all(sides):
            continue
        if "*" in layout.visible:
            yield _joined(root, layout, *sides)
            continue
        # more than one if names differ only in case, or several alternatives exist
        for visible in sides[0].values():
            yield from (_one(root, layout, visible, infrared) for infrared in sides[1].values())


def _one(root: Path, layout: Layout, visible: Path, infrared: Path) -> PairFiles:
    description = f"{layout.name} ({visible.relative_to(root)} with {infrared.relative_to(root)})"
    pairs = replace(given(visible, infrared), layout=description, warning=layout.warning)
    return _by_table(root / layout.table, pairs) if layout.table else pairs


def _joined(root: Path, layout: Layout, *sides: dict[tuple[str, ...], Path]) -> PairFiles:
    """Return all matching folders as one set; a pair's name begins with the names of its folders."""
    visible, infrared = Files(), Files()
    for key in sorted(sides[0].keys() | sides[1].keys()):
        parts = [listing(side[key]) if key in side else Files() for side in sides]
        for target, part in zip((visible, infrared), match_names(*parts), strict=True):
            target.update({"_".join((*key, name)): files for name, files in part.items()})
    count = len(sides[0].keys() | sides[1].keys())
    description = f"{layout.name} ({layout.visible} with {layout.infrared}, {count} folder{'s' if count > 1 else ''})"
    return PairFiles(visible, infrared, (root / layout.visible, root / layout.infrared), (root,), description, layout.warning)


def _by_table(table: Path, pairs: PairFiles) -> PairFiles:
    """Rename the infrared files to their visible partners in `table`, if that file exists."""
    if not table.is_file():
        if pairs.visible.keys() & pairs.infrared.keys():
            return pairs
        raise SourceError(f"{pairs.layout}: {table.name} is missing, which lists the pairs; put it into {table.parent}")
    try:
        entries = json.loads(table.read_text("utf-8"))
        listed = [(Path(str(a)).stem, Path(str(b)).stem) for a, b in entries.items()]
    except (OSError, ValueError, AttributeError) as e:
        raise SourceError(f"{table}: not a JSON table of visible and infrared files ({e}); extract it again") from None
    partners = {b: a for a, b in listed if a in pairs.visible}
    if not partners:
        return replace(pairs, visible={}, infrared={}, warning=_NO_PAIRS)
    return replace(pairs, infrared={partners.get(name, name): files for name, files in pairs.infrared.items()})


def _named(root: Path) -> PairFiles | None:
    pairs = by_names(root)
    if pairs is None:
        return None
    warning = f"{pairs.unknown} image{'s' if pairs.unknown > 1 else ''} in {root} skipped: their names tell no camera"
    description = f"cameras told by file names, as TNO's tree ({pairs.scenes} folder{'s' if pairs.scenes > 1 else ''})"
    return PairFiles(pairs.visible, pairs.infrared, (root, root), (root,), description, warning if pairs.unknown else "")


def _expanded(root: Path, pattern: str) -> dict[tuple[str, ...], Path]:
    """Return the matching folders by the names that their wildcards match, or without wildcards by their own names."""
    matches: dict[tuple[str, ...], Path] = {(): root}
    segments = pattern.casefold().split("/")
    plain = "*" not in pattern
    for segment in segments:
        next_matches: dict[tuple[str, ...], Path] = {}
        for key, folder in matches.items():
            for inner in _folders(folder):
                if any(fnmatchcase(inner.name.casefold(), one) for one in segment.split("|")):
                    next_matches[(*key, inner.name) if plain or "*" in segment else key] = inner
        matches = next_matches
    return matches


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir())
    except OSError:
        return []


def _distinct(candidates: Iterator[PairFiles]) -> list[PairFiles]:
    """Keep one per pair of folders: layouts may overlap, and the first one names it."""
    distinct: dict[tuple[Path, ...], PairFiles] = {}
    for files in candidates:
        distinct.setdefault(files.folders, files)
    return list(distinct.values())


def _ambiguous(root: Path, candidates: list[PairFiles]) -> str:
    listed = "; ".join(f.layout for f in candidates[:4]) + ("; ..." if len(candidates) > 4 else "")
    whole, *names = (re.sub("[%?,&]", lambda c: f"%{ord(c[0]):02X}", str(path)) for path in (root, *_within(root, candidates[0])))
    return f"{root} has {len(candidates)} sets of pairs: {listed}; choose one: 'folder:{whole}?visible={names[0]}&infrared={names[1]}'"


def _within(root: Path, candidate: PairFiles) -> list[Path]:
    return [folder.relative_to(root) for folder in candidate.folders]


def _nothing(root: Path) -> str:
    missing = [name for name in ("visible", "infrared") if not os.path.isdir(root / name)]  # noqa: PTH112
    known = "VISIBLE_DIR,INFRARED_DIR, or folder:DIR?visible=NAME&infrared=NAME"
    return f"{root}: no {'/ and '.join(missing)}/ inside; make it, or give folder:{known}"
