"""Passes a URL with a password to FFmpeg so that `ps` does not show it: in the environment; hidden_argument.c makes an argument of it.

Everybody on a machine may read a process's arguments (/proc/PID/cmdline), but only its own user and root its environment. FFmpeg takes an
output's URL as an argument alone, so the compiled core is preloaded, which replaces a placeholder among the arguments.
"""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Mapping, Sequence

from edgefuse.errors import InputError
from edgefuse.ffmpeg.encoders import NotStartedError
from edgefuse.util import compiled

_log = logging.getLogger(__name__)

PLACEHOLDER = "edgefuse-hidden-argument"
_VARIABLE = "EDGEFUSE_HIDDEN_ARGUMENT"
_TRIAL_S = 30.0
_works: dict[str, bool] = {}


class HiddenArgument(str):
    """An argument that other users must not see."""


def without_hidden(command: Sequence[str]) -> tuple[list[str], Mapping[str, str] | None]:
    """Return the command line to show, and the environment to start it with; None for this process's own.

    At most one argument is hidden. Where it can't be, because the compiled core is missing or the program is linked statically, it is
    passed as it is, and a warning is logged once. Raises InputError where the program can't be started.
    """
    program, arguments = command[0], list(command)
    for k, argument in enumerate(arguments):
        if isinstance(argument, HiddenArgument) and _possible(program):
            return [*arguments[:k], PLACEHOLDER, *arguments[k + 1 :]], _environment(argument)
    return arguments, None


def _possible(program: str) -> bool:
    if program not in _works:
        _works[program] = _replaces(program)
        if not _works[program]:
            why = f"{program} is linked statically; sudo apt install ffmpeg" if compiled.library() else "EdgeFuse has no compiled core here"
            _log.warning("other users of this machine can see the stream's password (ps): %s", why)
    return _works[program]


def _environment(argument: str) -> Mapping[str, str]:
    before = os.environ.get("LD_PRELOAD")
    return {**os.environ, "LD_PRELOAD": ":".join(filter(None, (str(compiled.FILE), before))), _VARIABLE: argument}


def _replaces(program: str) -> bool:
    """Try it: FFmpeg succeeds with -version in the place of the placeholder, and fails with the placeholder."""
    if compiled.library() is None:
        return False
    try:
        done = subprocess.run(
            [program, PLACEHOLDER], env=_environment("-version"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, timeout=_TRIAL_S, check=False, start_new_session=True,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as e:
        # for lack of processes, say; it is tried again
        raise NotStartedError(f"{program} can't be started: {e.strerror if isinstance(e, OSError) else 'no answer'}") from None
    if done.returncode < 0 or done.returncode == 127:
        raise InputError(f"{program} can't be started: its trial ended with {done.returncode}")
    return done.returncode == 0
