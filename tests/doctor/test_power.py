from __future__ import annotations

from pathlib import Path

from edgefuse.doctor import Finding, Host
from edgefuse.doctor.power import check_power
from tests.board.trees import PI, plant, vcgencmd


def _power(root: Path, **files: str) -> dict[str, Finding]:
    names = {"temperature": "sys/class/thermal/thermal_zone0/temp", "governor": "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"}
    names["throttled"] = "sys/devices/platform/soc/soc:firmware/get_throttled"
    plant(root, PI | {names[k]: v for k, v in files.items()})
    return {f.name: f for f in check_power(Host(root))}


def test_a_cool_pi_that_was_throttled_once(tmp_path: Path) -> None:
    findings = _power(tmp_path)
    assert (findings["processor"].state, findings["temperature"].state, findings["throttling"].state) == ("ok", "ok", "warn")
    assert "Cortex-A53" in findings["processor"].what
    assert "no byte dot product: int8 may be slower than fp32" in findings["processor"].what
    assert findings["temperature"].what == "53 °C"
    assert "since boot: under-voltage, throttled (sysfs 0x50000); use a 5 V 2.5 A supply" in findings["throttling"].what


def test_throttled_now_fails_whoever_says_so(tmp_path: Path) -> None:
    vcgencmd(tmp_path, "echo throttled=0x50005")
    findings = _power(tmp_path, throttled="0\n")["throttling"]
    assert findings.state == "fail"
    assert "THEY DISAGREE" in findings.what


def test_never_throttled(tmp_path: Path) -> None:
    assert _power(tmp_path, throttled="0\n")["throttling"].state == "ok"


def test_heat_and_a_lazy_governor(tmp_path: Path) -> None:
    assert _power(tmp_path, temperature="79000\n")["temperature"].state == "warn"
    assert _power(tmp_path, temperature="86000\n")["temperature"].state == "fail"
    finding = _power(tmp_path, governor="powersave\n")["processor"]
    assert finding.state == "ok"  # the other core is on demand
    plant(tmp_path, {"sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "powersave\n"})
    lazy = next(f for f in check_power(Host(tmp_path)) if f.name == "processor")
    assert lazy.state == "warn"
    assert "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor" in (lazy.mend or "")


def test_a_pi_that_does_not_tell(tmp_path: Path) -> None:
    plant(tmp_path, {k: v for k, v in PI.items() if not k.startswith("sys/")})
    findings = {f.name: f for f in check_power(Host(tmp_path))}
    assert findings["processor"].state == "warn"
    assert "/sys/devices/system/cpu is hidden" in findings["processor"].what
    assert findings["temperature"].state == "warn"
    assert "apt install -y raspi-utils" in (findings["throttling"].mend or "")
    vcgencmd(tmp_path, "echo 'Can not open device file: /dev/vcio' >&2; exit 255")
    findings = {f.name: f for f in check_power(Host(tmp_path))}
    assert "video" in (findings["throttling"].mend or "")


def test_a_pc_need_not_tell(tmp_path: Path) -> None:
    plant(tmp_path, {"proc/cpuinfo": "processor : 0\nmodel name : X\nflags : avx2\n", "sys/devices/system/cpu/cpu0/x": ""})
    assert {f.state for f in check_power(Host(tmp_path))} == {"ok"}
