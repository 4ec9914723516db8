"""Changes a run's settings file on request of its page, checked as `edgefuse config check` does, and then reloads it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from edgefuse import settings
from edgefuse.errors import MissingDependencyError, SettingsError
from edgefuse.events import Facts
from edgefuse.run import build, validate
from edgefuse.run.session import RunSession
from edgefuse.settings import Settings, edit, live


class Editor:
    """Registers the commands `settings`, which describes what can be changed, and `change`, which changes the file and reloads it."""

    def __init__(self, running: RunSession, path: Path, reread: Callable[[], Settings]) -> None:
        """path: the run's settings file. reread: returns the settings that a reload would apply."""
        self._running, self.path, self._reread = running, path, reread
        running.live.register_command("settings", self._describe)
        running.live.register_command("change", self._change)

    def _describe(self, _: Facts) -> Facts:
        """Return the file, its digest, the settings that can be changed, and why none can be, if so."""
        digest, given = edit.read(self.path)[1], self._reread()
        try:
            edit.require()
            trouble = ""
        except MissingDependencyError as e:
            trouble = str(e)
        regions = {name: one.shape for name, one in given.tables.get("region", {}).items()}
        return {
            "file": str(self.path), "digest": digest, "trouble": trouble, "regions": regions,
            "settings": [asdict(one) for one in live.described(given)],
        }  # fmt: skip

    def _change(self, given: Facts) -> Facts:
        """Change the file's `values` (key -> JSON value) where its digest is still `digest`, and request a reload.

        Returns the new digest and whether anything changed. Raises EdgeFuseError, with the file as it was.
        """
        wanted, known = given.get("values"), given.get("digest")
        if not isinstance(wanted, Mapping) or not isinstance(known, str):
            raise SettingsError('change: expected {"digest": TEXT, "values": {KEY: VALUE}}')
        edit.check_unchanged(self.path, known)
        changed = self.set(live.changes(self._reread(), wanted), known)
        if changed:
            self._running.live.run_command("reload")
        return {"changed": changed, "digest": edit.read(self.path)[1]}

    def set(self, changes: Mapping[edit.Key, object], known: str | None = None) -> bool:
        """Make changes in the file where all that `edgefuse config check` looks at is right with them. Returns whether there were any.

        known: digest of the content that they were made for; None for that of now. Raises EdgeFuseError, with the file as it was.
        """
        text, digest = edit.read(self.path)
        new = edit.changed(text, changes)
        if new == text:
            return False
        made = settings.load(self.path, os.environ, source_required=False, text=new)
        validate.check(made)
        if newest := self._running.live.newest:
            build.check_regions_in(validate.placed(made), newest[1].pair.infrared.size)
        edit.write(self.path, new, known or digest)
        return True
