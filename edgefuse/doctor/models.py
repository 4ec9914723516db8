"""Check of the models: their files must match the checksums in their cards."""

from __future__ import annotations

from edgefuse import zoo
from edgefuse.doctor.environment import Environment, read_environment
from edgefuse.doctor.finding import Finding
from edgefuse.doctor.host import Host
from edgefuse.errors import EdgeFuseError, ModelError


def reinstall(e: Environment) -> str:
    """Return the command that restores the models that come with EdgeFuse."""
    if (zoo.BUILT_IN.parent / "zoo.py").is_file():  # inside the package, as in a wheel
        return e.pip_install("--force-reinstall", "--no-deps", "edgefuse")
    return f"git -C {zoo.BUILT_IN.parent} checkout -- {zoo.BUILT_IN.name}"


def check_models(_: Host) -> list[Finding]:
    try:
        cards = zoo.cards()
    except EdgeFuseError as e:
        return [Finding("models", "fail", str(e), reinstall(read_environment()))]
    if not cards:
        return [Finding("models", "fail", f"no model in {zoo.BUILT_IN}", reinstall(read_environment()))]
    findings, files = [], 0
    for card in cards:
        for file in (*card.files, *((card.golden,) if card.golden else ())):
            try:
                file.verified()
                files += 1
            except ModelError as e:
                mend = reinstall(read_environment()) if card.folder.parent == zoo.BUILT_IN else None
                findings.append(Finding(f"model {card.name}", "fail", str(e), mend))
    names = [c.name for c in cards]
    whole = f"{len(cards)} models ({', '.join(names)}), {files} files with the right sha256"
    return [*findings, Finding("models", "fail" if findings else "ok", whole, None, {"models": names, "files": files})]
