"""Tells the camera of a file from its name, and matches files of a pair whose names differ.

A name is split into words at non-alphanumeric characters and between letters and digits: IR_meting003_g is ir, meting, 003, g. The first
word in `CAMERAS` gives the camera; the other words name the pair. If a name ends in a number and a letter, as in 7v and 7i, v is visible
and i infrared.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgefuse.errors import SourceError
from edgefuse.util import images

Camera = Literal["visible", "infrared", "other"]
Files = dict[str, list[Path]]

CAMERAS: dict[str, Camera] = {
    **dict.fromkeys(("visible", "visual", "vis", "vi", "rgb"), "visible"),
    **dict.fromkeys(("infrared", "thermal", "lwir", "tir", "ir", "previewdata"), "infrared"),
    # near infrared and image intensifiers count as neither
    **dict.fromkeys(("nir", "ii"), "other"),
}
FOLDERS: dict[str, Camera] = {"visual": "visible", "thermal": "infrared"}  # in TNO's sequences; their files belong to the parent folder
_DEEPEST, _MOST_FOLDERS = 4, 5000  # limits of the search: depth below the given folder, number of folders


def listing(folder: Path) -> Files:
    """Return the folder's image files by stem. Raises SourceError if the folder can't be listed."""
    files: Files = {}
    try:
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in images.EXTENSIONS and not path.name.startswith(".") and path.is_file():
                files.setdefault(path.stem, []).append(path)
    except OSError as e:
        raise SourceError(f"cannot list {folder}: {e.strerror}; give an existing folder of images") from None
    return files


def camera_and_name(stem: str) -> tuple[Camera | None, str]:
    """Return (camera, the pair's name in lower case): ("infrared", "meting-003-g") for IR_meting003_g; (None, ...) if no word tells."""
    words = re.findall(r"[^\W\d_]+|\d+", stem.casefold())
    for k, word in enumerate(words):
        if word in CAMERAS:
            return CAMERAS[word], "-".join(words[:k] + words[k + 1 :])
    if len(words) > 1 and words[-2].isdigit() and words[-1] in ("v", "i"):
        return ("visible" if words[-1] == "v" else "infrared"), "-".join(words[:-1])
    return None, "-".join(words)


def match_names(visible: Files, infrared: Files) -> tuple[Files, Files]:
    """Return the same files with both files of a pair under the visible one's name.

    Files of equal names are a pair. Of the rest, files whose names differ only in case and the camera's word are a pair, if there are
    exactly two.
    """
    sides = (visible, infrared), (infrared, visible)
    unmatched = [{name: camera_and_name(name)[1] for name in one if name not in other} for one, other in sides]
    counts = [Counter(names.values()) for names in unmatched]
    partners = {key: name for name, key in unmatched[0].items() if all(count[key] == 1 for count in counts)}
    renamed = {name: partners.get(key, name) for name, key in unmatched[1].items()}
    return visible, {renamed.get(name, name): files for name, files in infrared.items()}


@dataclass(slots=True)
class PairsByName:
    """Files of each camera by the pair's name. scenes: number of folders with such files. unknown: number of images of unknown camera."""

    visible: Files
    infrared: Files
    scenes: int = 0
    unknown: int = 0


def by_names(root: Path) -> PairsByName | None:
    """Find pairs in `root` and the folders below it by file names and `FOLDERS`.

    Returns None if no pair is found, or if most images' names tell no camera, so that this is no such dataset."""
    scenes: dict[Path, dict[Camera, Files]] = {}
    pairs, known = PairsByName({}, {}), 0
    for folder in _walk(root):
        of_folder = FOLDERS.get(folder.name.casefold()) if folder != root else None
        scene = scenes.setdefault(folder.parent if of_folder else folder, {})
        for stem, files in listing(folder).items():
            camera, _ = camera_and_name(stem)
            if (camera := of_folder or camera) is None:
                pairs.unknown += len(files)
            else:
                known += len(files)
                scene.setdefault(camera, {}).setdefault(stem, []).extend(files)
    for path, scene in sorted(scenes.items()):
        visible, infrared = _paired(scene.get("visible", {}), scene.get("infrared", {}))
        pairs.scenes += bool(visible or infrared)
        prefix = [*path.relative_to(root).parts]
        for target, part in ((pairs.visible, visible), (pairs.infrared, infrared)):
            target.update({"_".join((*prefix, name)): files for name, files in part.items()})
    return pairs if pairs.visible.keys() & pairs.infrared.keys() and known >= pairs.unknown else None


def _paired(visible: Files, infrared: Files) -> tuple[Files, Files]:
    if len(visible) == 1 and len(infrared) == 1:
        # one file each is a pair, whatever their names: VIS_lake_r with IR_lake_g
        return visible, {next(iter(visible)): next(iter(infrared.values()))}
    return match_names(visible, infrared)


def _walk(root: Path) -> Iterator[Path]:
    """Yield `root` and the folders below it, without following links. Raises SourceError if there are too many."""
    todo, count = [(root, 0)], 0
    while todo:
        folder, depth = todo.pop()
        if (count := count + 1) > _MOST_FOLDERS:
            raise SourceError(f"{root} has more than {_MOST_FOLDERS} folders; give the one with the pairs")
        yield folder
        if depth < _DEEPEST:
            try:
                inner = [path for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir() and not path.is_symlink()]
            except OSError:
                continue
            todo += [(path, depth + 1) for path in inner]
