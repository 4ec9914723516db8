from __future__ import annotations

from pathlib import Path

import pytest

import edgefuse
from edgefuse.board import Throttling, read_board, read_libraries, read_memory, read_processor, read_state, read_throttling
from edgefuse.board.state import temperature_c
from edgefuse.board.throttling import between
from tests.board.trees import A53, PI, plant, vcgencmd


def test_a_pi_is_read_whole(tmp_path: Path) -> None:
    board = read_board(plant(tmp_path, PI))
    assert board.name == board.model == "Raspberry Pi 3 Model B Plus Rev 1.3"
    assert (board.processor.name, board.processor.cores, board.processor.features) == ("Cortex-A53", 4, ("asimd",))
    assert board.processor.dot_product is False
    assert (board.kernel, board.system) == ("6.6.51+rpt-rpi-v8", "Debian GNU/Linux 12 (bookworm)")
    assert board.memory_bytes == 944264 * 1024
    assert read_memory(tmp_path) == {"MemTotal": 944264 * 1024, "MemAvailable": 700000 * 1024, "HugePages_Total": 0}
    now = read_state(tmp_path)
    assert (now.governor, now.frequency_mhz, now.highest_mhz, now.temperature_c, now.load) == ("ondemand", 1400, 1400, 52.616, 0.25)
    assert now.throttling == Throttling(sysfs=0x50000)


def test_nothing_is_known_of_an_empty_tree_and_nothing_fails(tmp_path: Path) -> None:
    board, now = read_board(tmp_path), read_state(tmp_path)
    assert (board.model, board.kernel, board.system, board.memory_bytes) == (None, None, None, None)
    assert board.processor.features is board.processor.dot_product is None
    assert board.name == board.processor.machine
    assert (now.governor, now.frequency_mhz, now.highest_mhz, now.temperature_c, now.load) == (None,) * 5
    assert not now.throttling.known
    assert str(now.throttling).startswith("unknown")


def test_rubbish_and_folders_in_place_of_files_are_unknown(tmp_path: Path) -> None:
    names = [n for n in PI if n != "proc/cpuinfo"]
    plant(tmp_path, dict.fromkeys(names, "\0\n"))
    (tmp_path / "proc/cpuinfo").mkdir()
    assert read_board(tmp_path).memory_bytes is None
    now = read_state(tmp_path)
    assert (now.governor, now.frequency_mhz, now.temperature_c, now.load, now.throttling.sysfs) == (None,) * 5
    for name in names:
        (tmp_path / name).write_bytes(b"\xff\xfe\x80 x: y\n")
    assert read_state(tmp_path).frequency_mhz is None


def test_this_machine_answers() -> None:
    board, now = read_board(), read_state()
    assert board.processor.usable >= 1
    assert board.name
    assert now.load is None or now.load >= 0


def test_a_pc_names_itself_and_its_features(tmp_path: Path) -> None:
    cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\ncpu MHz\t\t: 2596.1\nflags\t\t: fpu avx2 avx512_vnni\n"
    plant(tmp_path, {"proc/cpuinfo": cpuinfo})
    processor = read_processor(tmp_path)
    assert (processor.name, processor.features, processor.dot_product) == ("Some CPU @ 3 GHz", ("avx2", "avx512_vnni"), True)
    assert read_state(tmp_path).frequency_mhz == 2596.1


def test_cores_of_two_kinds_have_what_both_have(tmp_path: Path) -> None:
    other = A53.format(1).replace("0xd03", "0xd0b").replace("crc32", "crc32 asimddp")
    plant(tmp_path, {"proc/cpuinfo": A53.format(0) + other})
    processor = read_processor(tmp_path)
    assert (processor.name, processor.features) == ("Cortex-A53 + Cortex-A76", ("asimd",))
    plant(tmp_path, {"proc/cpuinfo": A53.format(0).replace("0xd03", "0xfff")})
    assert read_processor(tmp_path).name == "ARM implementer 0x41 part 0xfff"


def test_the_processors_sensor_beats_a_hotter_one(tmp_path: Path) -> None:
    zone = "sys/class/thermal/thermal_zone{}/{}"
    plant(tmp_path, {zone.format(0, "type"): "wifi", zone.format(0, "temp"): "80000"})
    assert temperature_c(tmp_path) == 80
    plant(tmp_path, {"sys/class/hwmon/hwmon3/name": "k10temp", "sys/class/hwmon/hwmon3/temp1_input": "61250"})
    assert temperature_c(tmp_path) == 61.25
    plant(tmp_path, {"sys/class/hwmon/hwmon3/temp1_input": "-273150"})
    assert temperature_c(tmp_path) == 80


@pytest.mark.parametrize(
    ("script", "bits"),
    [("echo throttled=0x50005", 0x50005), ("echo VCHI initialization failed; exit 255", None), ("exit 1", None)],
)
def test_vcgencmd_is_asked_too(tmp_path: Path, script: str, bits: int | None) -> None:
    vcgencmd(plant(tmp_path, PI), script)
    throttling = read_throttling(tmp_path)
    assert (throttling.sysfs, throttling.vcgencmd) == (0x50000, bits)
    assert throttling.disagree == (bits is not None)
    if bits:
        assert throttling.now == ("under-voltage", "throttled")
        assert str(throttling) == (
            "now: under-voltage, throttled; since boot: under-voltage, throttled (sysfs 0x50000, vcgencmd 0x50005; THEY DISAGREE)"
        )
    else:
        assert str(throttling) == "since boot: under-voltage, throttled (sysfs 0x50000)"


def test_what_slowed_the_board_between_two_moments() -> None:
    calm = Throttling(sysfs=0, vcgencmd=0)
    assert between(calm, calm) == ()
    assert str(calm) == "none (sysfs 0x0, vcgencmd 0x0)"
    assert between(Throttling(sysfs=0x50000), Throttling(sysfs=0x50000)) == (), "it happened before"
    assert between(calm, Throttling(sysfs=0, vcgencmd=0x40000)) == ("throttled",)
    assert between(Throttling(vcgencmd=0x2), calm) == ("frequency capped",)
    assert between(Throttling(events=3), Throttling(events=5)) == ("2 thermal throttling events",)
    assert between(Throttling(), Throttling(events=5)) == ()


def test_an_intel_kernels_events_are_summed(tmp_path: Path) -> None:
    name = "sys/devices/system/cpu/cpu{}/thermal_throttle/core_throttle_count"
    throttling = read_throttling(plant(tmp_path, {name.format(k): f"{k + 1}\n" for k in range(2)}))
    assert (throttling.events, str(throttling)) == (3, "3 throttling events since boot")


def test_libraries_are_told_without_importing_them() -> None:
    versions = read_libraries()
    assert versions["edgefuse"] == edgefuse.__version__
    assert versions["numpy"]
    assert set(versions) == {"edgefuse", "python", "numpy", "opencv", "psutil", "onnxruntime", "litert"}
