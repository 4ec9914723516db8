"""Power cuts on real file systems: `sudo python benchmarks/power_cuts.py ext4 xfs [--points N] [--folder DIR]`

Runs `compress`, `decompress`, `batch compress` and a watched folder that deletes its originals, each on a new file system on a recorded
disk (recorded_disk.py). Then makes the disk as N power cuts left it, mounts it, which replays the file system's journal, and checks that

- no original is lost: it is there, or an .efz file that decodes to it;
- what the manifest calls done is there, with the bytes that the manifest names;
- a file that `compress` or `decompress` wrote is whole, or not there;
- what was done when the command ended with exit code 0 is still done.

Exit code 1 if a cut broke one of these. --without-fsync: the commands do without fsync, to see that the checks find what is then lost.
Needs root, FUSE, loop devices, and mkfs of the file systems (ext4, xfs, btrfs).
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from recorded_disk import Recording, Server, cut, mounted  # noqa: E402

from edgefuse.hyperspectral.codec import spectral_edge  # noqa: E402
from tests.durability import archives, shim  # noqa: E402

# size of the disk in MB, and the command that makes the file system
KINDS = {
    "ext4": (24, ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"]),
    "xfs": (320, ["mkfs.xfs", "-q", "-f"]),
    "btrfs": (128, ["mkfs.btrfs", "-q", "-f"]),
}
COMMANDS = {
    "compress": ["compress", "in/a.npy", "out/a.efz"],
    "decompress": ["decompress", "in/a.efz", "out/a.npy"],
    "batch": ["batch", "compress", "in", "out", "--jobs", "1"],
    "watch": ["run", "--source", "cubes:in", "--save", "out", "--watch", "--delete-originals"],
}
LIMIT_S = 600.0


class Trial:
    """One command on one kind of file system. originals: bytes of each cube, by name."""

    def __init__(self, folder: Path, kind: str, command: str, without_fsync: bool = False) -> None:
        self.kind, self.command = kind, command
        self._path = str(ROOT)
        if without_fsync:
            (folder / "sitecustomize.py").write_text("import os\nos.fsync = os.fdatasync = lambda fd: None\n")
            self._path += f":{folder}"
        self._image, self._before = folder / "image", folder / "before"
        self._mount, self._served = folder / "mount", folder / "served"
        self._served.mkdir(exist_ok=True)
        self.originals: dict[str, bytes] = {}
        self.recording = Recording()

    def record(self) -> None:
        """Run the command once."""
        megabytes, make = KINDS[self.kind]
        with open(self._image, "wb") as f:
            f.truncate(megabytes * 1_000_000 // 4096 * 4096)
        subprocess.run([*make, str(self._image)], check=True, capture_output=True)
        with mounted(self._image, self._mount, self.kind):
            self._inputs()
        subprocess.run(["cp", "--sparse=always", str(self._image), str(self._before)], check=True)
        with closing(Server(self._served, self._image)) as server:
            # from before the mount, which marks the file system as one whose journal must be replayed
            server.recording = self.recording
            with mounted(server.path, self._mount, self.kind):
                os.sync()
                self.recording.mark("begin")
                self._run()
                self.recording.mark("done")
                server.recording = None

    def _inputs(self) -> None:
        one = self.command in ("compress", "decompress")
        self.originals = shim.cubes(self._mount / "in", 1 if one else 3)
        (self._mount / "out").mkdir()
        if self.command == "decompress":
            path = self._mount / "in/a.npy"
            (self._mount / "in/a.efz").write_bytes(spectral_edge.encode(np.load(path), max_error=0))
            path.unlink()

    def _run(self) -> None:
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": self._path}
        process = subprocess.Popen(
            [sys.executable, "-m", "edgefuse", *COMMANDS[self.command]], cwd=self._mount, env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        if self.command == "watch":
            end = time.monotonic() + LIMIT_S
            while any((self._mount / "in").glob("*.npy")):
                if time.monotonic() > end or process.poll() is not None:
                    raise SystemExit("power_cuts.py: the watch did not delete its originals")
                time.sleep(0.05)
            process.terminate()
        if process.wait(LIMIT_S):
            raise SystemExit(f"power_cuts.py: {self.command} ended with {process.returncode}")

    def cuts(self, points: int, scratch: Path) -> Iterator[tuple[str, list[str]]]:
        """Yield, of each power cut, where it was and what it broke. They are spread evenly over the events, each in another order."""
        begin, done = self.recording.marks["begin"], self.recording.marks["done"]
        ends = [begin + round(k * (done - begin) / (points - 1)) for k in range(points)]
        applied = 0
        with open(self._before, "r+b", buffering=0) as base:
            for number, end in enumerate(ends):
                durable = self.recording.durable(end)
                for event in self.recording.events[applied:durable]:
                    if not event.flush:
                        os.pwrite(base.fileno(), event.data, event.at)
                applied = durable
                subprocess.run(["cp", "--sparse=auto", str(self._before), str(scratch)], check=True)
                with open(scratch, "r+b", buffering=0) as file:
                    cut(file.fileno(), self.recording, durable, end, random.Random(number))
                where = f"{self.kind}, {self.command}, after {end - begin} of {done - begin} events, order {number}"
                yield where, self._broken(scratch, end)

    def _broken(self, image: Path, end: int) -> list[str]:
        try:
            with mounted(image, self._mount, self.kind):
                out, done = self._mount / "out", end >= self.recording.marks["done"]
                broken = [f"{name} is torn" for name in archives.torn(out)]
                broken += [f"{name} is lost" for name in archives.lost(self._mount, self.originals)]
                if self.command in ("compress", "decompress"):
                    return broken + self._single(out, done)
                states = {name: record["state"] for name, record in archives.records(out).items()}
                return broken + ([f"{states} after the end"] if done and states != dict.fromkeys(self.originals, "done") else [])
        except subprocess.CalledProcessError as e:
            return [f"it can't be mounted: {e.stderr}"]

    def _single(self, out: Path, done: bool) -> list[str]:
        path = out / ("a.efz" if self.command == "compress" else "a.npy")
        if not path.exists():
            return [f"{path.name} is not there after the end"] if done else []
        return [] if not archives.lost(out, self.originals) else [f"{path.name} is not whole"]


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("kinds", nargs="+", choices=tuple(KINDS), metavar="KIND")
    p.add_argument("--points", type=int, default=300, metavar="N", help="power cuts a command and kind (default: %(default)s)")
    p.add_argument("--commands", default=",".join(COMMANDS), help="default: %(default)s")
    p.add_argument("--folder", type=Path, default=Path("/var/tmp"), metavar="DIR", help="for the images (default: %(default)s)")
    p.add_argument("--without-fsync", action="store_true", help="see above")
    args = p.parse_args()
    if os.geteuid():
        raise SystemExit("power_cuts.py: mounting needs root")
    total = failed = 0
    for kind in args.kinds:
        for command in args.commands.split(","):
            folder = Path(tempfile.mkdtemp(dir=args.folder, prefix="edgefuse-cuts-"))
            try:
                trial = Trial(folder, kind, command, args.without_fsync)
                trial.record()
                count = bad = 0
                for where, broken in trial.cuts(args.points, folder / "cut"):
                    count, bad = count + 1, bad + bool(broken)
                    for what in broken:
                        print(f"{where}: {what}", flush=True)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            events = trial.recording.events[trial.recording.marks["begin"] :]
            flushes = sum(e.flush for e in events)
            written = len(events) - flushes
            print(f"{kind:6s} {command:11s} {written} writes, {flushes} flushes: {count} power cuts, {bad} broken", flush=True)
            total, failed = total + count, failed + bad
    print(f"{total} power cuts, {failed} broken")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
