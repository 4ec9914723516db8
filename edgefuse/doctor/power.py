"""Check of the processor, its temperature, and throttling by heat or a weak power supply."""

from __future__ import annotations

from edgefuse.board import Processor, State, Throttling, read_board, read_state
from edgefuse.board.text_files import glob_sorted
from edgefuse.doctor.finding import Finding, Verdict
from edgefuse.doctor.host import Host

# a Pi's firmware slows down at 80 degrees C and throttles hard at 85; a PC's processor at about 100
_PI_LIMITS_C, _PC_LIMITS_C = (75.0, 85.0), (90.0, 105.0)


def check_power(host: Host) -> list[Finding]:
    board, state = read_board(host.root), read_state(host.root)
    pi = is_pi(board.model)
    return [_processor(host, board.processor, state, pi), _temperature(state.temperature_c, pi), _throttling(host, state.throttling, pi)]


def is_pi(model: str | None) -> bool:
    return bool(model and "raspberry pi" in model.lower())


def _processor(host: Host, processor: Processor, state: State, pi: bool) -> Finding:
    dot = {True: "byte dot product", False: "no byte dot product: int8 may be slower than fp32", None: "features unknown"}
    clock = [state.governor and f"governor {state.governor}", state.frequency_mhz and f"{state.frequency_mhz:.0f} MHz"]
    clocks = ", ".join(str(c) for c in clock if c) or "clock unknown"
    what = f"{processor.name}, {processor.usable} of {processor.cores} cores usable, {clocks}; {dot[processor.dot_product]}"
    facts = {"name": processor.name, "features": list(processor.features or ()), "governor": state.governor, "mhz": state.frequency_mhz}
    if not glob_sorted(host.root, "sys/devices/system/cpu/cpu[0-9]*"):
        return Finding(
            "processor", "warn", f"{what}; /sys/devices/system/cpu is hidden, which onnxruntime needs to count cores", None, facts
        )
    if pi and state.governor == "powersave":
        mend = f"echo ondemand | {host.sudo('tee')} /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        return Finding("processor", "warn", f"{what}; powersave keeps the clock at its minimum", mend, facts)
    return Finding("processor", "ok", what, None, facts)


def _temperature(celsius: float | None, pi: bool) -> Finding:
    if celsius is None:
        return Finding("temperature", "warn" if pi else "ok", "no sensor can be read here")
    high, critical = _PI_LIMITS_C if pi else _PC_LIMITS_C
    facts = {"celsius": celsius}
    if celsius >= high:
        verdict: Verdict = "fail" if celsius >= critical else "warn"
        return Finding("temperature", verdict, f"{celsius:.0f} °C: too hot to keep its speed; add airflow or a heat sink", None, facts)
    return Finding("temperature", "ok", f"{celsius:.0f} °C", None, facts)


def _throttling(host: Host, throttling: Throttling, pi: bool) -> Finding:
    facts = {"sysfs": throttling.sysfs, "vcgencmd": throttling.vcgencmd, "events": throttling.events}
    if not throttling.known:
        if not pi:
            return Finding("throttling", "ok", "not reported on this machine", None, facts)
        if host.which("vcgencmd") is None:
            return Finding("throttling", "warn", f"{throttling}", host.sudo("apt install -y raspi-utils"), facts)
        return Finding("throttling", "warn", f"{throttling}", host.join_group("video"), facts)
    what = str(throttling)
    supply = "; use a 5 V 2.5 A supply and a short, thick cable" if "under-voltage" in what else ""
    if throttling.now:
        return Finding("throttling", "fail", what + supply, None, facts)
    if throttling.since_boot or throttling.disagree:
        return Finding("throttling", "warn", what + supply, None, facts)
    return Finding("throttling", "ok", what, None, facts)
