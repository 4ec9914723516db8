"""The server of tests/support/warm.py, a program: runs each line of standard input as a command in its own process.

A line is JSON: arguments, cwd, env, and files for standard output and standard error. The answer is the process's id, then its exit code.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import pkgutil
import runpy
import sys
from typing import Any


def main() -> None:
    _import_all()
    for line in sys.stdin:
        job = json.loads(line)
        if not (pid := os.fork()):
            _become(job)
            runpy.run_module("edgefuse", run_name="__main__", alter_sys=True)
            return
        _say(pid)
        _say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _import_all() -> None:
    """Import all modules of EdgeFuse, but not the libraries that are imported on first use: a fork lacks onnxruntime's threads, but would
    wait for them at its end, and the modules for xarray and Zarr import these, which makes each fork slower."""
    import edgefuse
    from edgefuse.cli.main import main as command

    # sets environment variables that OpenCV reads when it is imported
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        command(["--version"])
    for module in pkgutil.walk_packages(edgefuse.__path__, "edgefuse."):
        if not module.name.endswith(".__main__") and ".integrations" not in module.name:
            # a module of an extra that is not installed, or the compiled core, which is no module
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)
    assert not sys.modules.keys() & {"onnxruntime", "xarray", "zarr", "pandas"}


def _become(job: dict[str, Any]) -> None:
    """In the child: set the command's working folder, environment and standard streams."""
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    sys.argv[1:] = job["arguments"]
    # `python -m` puts the working folder first in sys.path, not this program's folder
    sys.path[0] = job["cwd"]
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in zip((1, 2), job["files"], strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), number)


def _say(number: int) -> None:
    os.write(1, b"%d\n" % number)


if __name__ == "__main__":
    main()
