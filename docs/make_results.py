"""docs/results.md's tables: `python docs/make_results.py --shared ../shared`. Needs the referee and its data; trains nothing.

Fuses the referee's pairs with each of our models as a user would (`edgefuse run --runtime onnx`), runs the referee, and prints Markdown.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from edgefuse import zoo

SETS = {"tno": "tno", "msrs": "msrs_test"}


def ranks(shared: Path, model: str, name: str, scratch: Path) -> dict[str, str]:
    """{method: mean rank} of the referee's table with `model` as "this"."""
    out = scratch / model / name
    source = f"folder:{shared / 'data/fusion' / SETS[name]}"
    command = [sys.executable, "-m", "edgefuse", "run", "--source", source, "--model", model, "--runtime", "onnx", "--save", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run(
        [sys.executable, "fusion.py", str(out.resolve()), "--set", name], cwd=shared / "referee", check=True, capture_output=True, text=True
    )
    return {line.split()[0]: line.split()[-1] for line in done.stdout.splitlines()[1:]}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with referee/ and data/ (default: %(default)s)")
    shared = p.parse_args().shared.resolve()
    models = [c.name for c in zoo.cards() if c.task == "fusion"]
    with tempfile.TemporaryDirectory() as scratch:
        for name in SETS:
            tables = {m: ranks(shared, m, name, Path(scratch)) for m in models}
            others = [k for k in tables[models[0]] if k != "this"]
            print(f"\n| {name}: the model's own table | this | " + " | ".join(others) + " |\n|" + "---|" * (len(others) + 2))
            for model, table in tables.items():
                print(f"| {model} | **{table['this']}** | " + " | ".join(table[k] for k in others) + " |")


if __name__ == "__main__":
    main()
