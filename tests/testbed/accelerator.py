"""How the guest's processor is run: by the hardware where that works, else emulated."""

from __future__ import annotations

import os
import re
from pathlib import Path

# QEMU before 10 lets guests with a recent kernel crash when it emulates their processors in several threads.
FIRST_QEMU_WITH_SOUND_THREADS = 10


def kvm_works(cpu_flags: str, device_is_writable: bool) -> bool:
    """A /dev/kvm without the processor's own extensions can be opened, and then fails in the guest."""
    return device_is_writable and bool({"vmx", "svm"}.intersection(cpu_flags.split()))


def host_has_kvm() -> bool:
    match = re.search(r"^flags\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return kvm_works(match.group(1) if match else "", os.access("/dev/kvm", os.R_OK | os.W_OK))


def accelerator_arguments(kvm: bool, qemu_major: int) -> list[str]:
    if kvm:
        return ["-accel", "kvm", "-cpu", "host"]
    threads = "multi" if qemu_major >= FIRST_QEMU_WITH_SOUND_THREADS else "single"
    return ["-accel", f"tcg,thread={threads}", "-cpu", "max"]
