"""Fake /proc, /sys, /etc and /usr trees."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

A53 = """\
processor\t: {}
BogoMIPS\t: 38.40
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd03
CPU revision\t: 4

"""
PI = {
    "proc/cpuinfo": "".join(A53.format(k) for k in range(4)) + "Model\t\t: Raspberry Pi 3 Model B Plus Rev 1.3\n",
    "proc/device-tree/model": "Raspberry Pi 3 Model B Plus Rev 1.3\0",
    "proc/meminfo": "MemTotal:        944264 kB\nMemAvailable:    700000 kB\nHugePages_Total:       0\n",
    "proc/loadavg": "0.25 0.10 0.05 1/120 999\n",
    "proc/sys/kernel/osrelease": "6.6.51+rpt-rpi-v8\n",
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n',
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "600000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "1400000\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "1400000\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "52616\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50000\n",
}


def plant(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def vcgencmd(root: Path, script: str) -> None:
    plant(root, {"usr/bin/vcgencmd": f"#!/bin/sh\n{script}\n"})
    (root / "usr/bin/vcgencmd").chmod(0o755)
