"""Fake commands and USB cameras in a fake root tree."""

from __future__ import annotations

from pathlib import Path

from tests.board.trees import plant


def command(root: Path, name: str, script: str) -> None:
    """Write a shell script to ROOT/usr/bin/NAME."""
    plant(root, {f"usr/bin/{name}": f"#!/bin/sh\n{script}\n"})
    (root / "usr/bin" / name).chmod(0o755)


def camera(root: Path, number: int, usb: str, name: str) -> None:
    """Create a USB camera as the kernel shows it: /sys/class/video4linux/videoN, linked to an interface of the device."""
    vendor, product = usb.split(":")
    device = f"sys/devices/platform/usb1/1-1/1-1.{number + 1}"
    plant(root, {f"{device}/idVendor": f"{vendor}\n", f"{device}/idProduct": f"{product}\n", f"{device}/1-1:1.0/bInterfaceClass": "0e\n"})
    plant(root, {f"sys/class/video4linux/video{number}/name": f"{name}\n"})
    (root / f"sys/class/video4linux/video{number}/device").symlink_to(root / device / "1-1:1.0")
    (root / "sys/bus/usb/devices").mkdir(parents=True, exist_ok=True)
    (root / f"sys/bus/usb/devices/1-1.{number + 1}").symlink_to(root / device)
