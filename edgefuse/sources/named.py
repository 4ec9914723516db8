"""Which camera a file is from, by its name, and which two files belong together where their names differ.

A name is cut into words at anything but letters and digits, and between letters and digits: IR_meting003_g is ir, meting, 003, g. The first
word that is a camera's (`CAMERAS`) says which it is; the rest is the pair's. Of a number and a last letter, 7v and 7i, v is visible and i
infrared.
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
    # near infrared and image intensifiers: neither of the two
    **dict.fromkeys(("nir", "ii"), "other"),
}
FOLDERS: dict[str, Camera] = {"visual": "visible", "thermal": "infrared"}  # of TNO's sequences; their files are of the folder around them
_DEEPEST, _MOST_FOLDERS = 4, 5000  # how far below the folder that was given, and how many


def listing(folder: Path) -> Files:
    """The folder's image files by stem. Raises SourceError where the folder can't be listed."""
    found: Files = {}
    try:
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in images.EXTENSIONS and not path.name.startswith(".") and path.is_file():
                found.setdefault(path.stem, []).append(path)
    except OSError as e:
        raise SourceError(f"cannot list {folder}: {e.strerror}; give an existing folder of images") from None
    return found


def told(stem: str) -> tuple[Camera | None, str]:
    """(the camera, the pair's name in small letters): ("infrared", "meting-003-g") of IR_meting003_g; (None, ...) where no word tells."""
    words = re.findall(r"[^\W\d_]+|\d+", stem.casefold())
    for k, word in enumerate(words):
        if word in CAMERAS:
            return CAMERAS[word], "-".join(words[:k] + words[k + 1 :])
    if len(words) > 1 and words[-2].isdigit() and words[-1] in ("v", "i"):
        return ("visible" if words[-1] == "v" else "infrared"), "-".join(words[:-1])
    return None, "-".join(words)


def tell_apart(visible: Files, infrared: Files) -> tuple[Files, Files]:
    """The same files, those of a pair under one name, the visible one's.

    Equal names belong together. Of the rest, those that are equal but for case and the camera's word do, where there are just two.
    """
    alone = [{name: told(name)[1] for name in one if name not in other} for one, other in ((visible, infrared), (infrared, visible))]
    counts = [Counter(names.values()) for names in alone]
    partners = {key: name for name, key in alone[0].items() if all(count[key] == 1 for count in counts)}
    renamed = {name: partners.get(key, name) for name, key in alone[1].items()}
    return visible, {renamed.get(name, name): files for name, files in infrared.items()}


@dataclass(slots=True)
class Named:
    """Files of each camera by the pair's name. scenes: folders with such files. unknown: images whose names tell no camera."""

    visible: Files
    infrared: Files
    scenes: int = 0
    unknown: int = 0


def by_names(root: Path) -> Named | None:
    """Pairs in `root` and the folders below it, told by file names and `FOLDERS`. None where no folder has files of both cameras, or where
    most images' names tell none: that is no such dataset."""
    scenes: dict[Path, dict[Camera, Files]] = {}
    found, known = Named({}, {}), 0
    for folder in _walk(root):
        of_folder = FOLDERS.get(folder.name.casefold()) if folder != root else None
        scene = scenes.setdefault(folder.parent if of_folder else folder, {})
        for stem, files in listing(folder).items():
            camera, _ = told(stem)
            if (camera := of_folder or camera) is None:
                found.unknown += len(files)
            else:
                known += len(files)
                scene.setdefault(camera, {}).setdefault(stem, []).extend(files)
    for path, scene in sorted(scenes.items()):
        visible, infrared = _paired(scene.get("visible", {}), scene.get("infrared", {}))
        found.scenes += bool(visible or infrared)
        prefix = [*path.relative_to(root).parts]
        for whole, part in ((found.visible, visible), (found.infrared, infrared)):
            whole.update({"_".join((*prefix, name)): files for name, files in part.items()})
    return found if found.visible.keys() & found.infrared.keys() and known >= found.unknown else None


def _paired(visible: Files, infrared: Files) -> tuple[Files, Files]:
    if len(visible) == 1 and len(infrared) == 1:
        # whatever else their names say: VIS_lake_r with IR_lake_g
        return visible, {next(iter(visible)): next(iter(infrared.values()))}
    return tell_apart(visible, infrared)


def _walk(root: Path) -> Iterator[Path]:
    """`root` and the folders in it, no links followed. Raises SourceError where there are too many to be a dataset."""
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
