"""The command line of QEMU for a machine. Pure: nothing is read or made here."""

from __future__ import annotations

import hashlib

from .accelerator import accelerator_arguments
from .image import Image
from .machine_state import MachineState, StartedMachine
from .qemu_binary import Qemu


def mac_address(purpose: str, name: str) -> str:
    digest = hashlib.sha256(f"{purpose}/{name}".encode()).digest()
    return ":".join(["52", "54", "00", *(f"{byte:02x}" for byte in digest[:3])])


def network_port(state: MachineState, network: str) -> int:
    """Machines of one checkout meet at the port of their network; those of another checkout stay apart."""
    digest = hashlib.sha256(f"{state.directory.parent}/{network}".encode()).digest()
    return 20000 + int.from_bytes(digest[:2], "big") % 12000


def kernel_command_line(started: StartedMachine, public_key: str) -> str:
    name = started.request.name
    machine_id = hashlib.sha256(f"machine/{name}".encode()).hexdigest()[:32]
    words = [
        "root=LABEL=testbed",
        "rw",
        "console=ttyS0",
        "panic=-1",
        # An emulated timer that ticks late on a busy host is still a timer.
        "no_timer_check",
        "net.ifnames=0",
        "fsck.mode=skip",
        "mitigations=off",
        f"systemd.hostname={name}",
        f"systemd.machine_id={machine_id}",
        f"testbed.ssh_key={public_key}",
    ]
    if started.private_address:
        words.append(f"testbed.private_address={started.private_address}")
    return " ".join(words)


def option(text: str) -> str:
    """A value inside a comma-separated argument of QEMU."""
    return text.replace(",", ",,")


def drive(identifier: str, path: str, image_format: str, cache: str) -> list[str]:
    backend = f"if=none,id={identifier},file={option(path)},format={image_format},cache={cache},discard=unmap"
    return ["-drive", backend, "-device", f"virtio-blk-pci,drive={identifier},serial={identifier.partition('-')[2]}"]


def qemu_command(
    *, qemu: Qemu, kvm: bool, image: Image, state: MachineState, started: StartedMachine, public_key: str
) -> list[str]:
    request = started.request
    name = request.name
    command = [qemu.program, *qemu.firmware_arguments(), "-nodefaults", "-no-user-config", "-display", "none"]
    command += ["-name", name, "-machine", "q35", *accelerator_arguments(kvm, qemu.major)]
    command += ["-smp", str(request.cpus), "-m", str(request.memory)]
    command += ["-kernel", str(image.kernel), "-initrd", str(image.initrd)]
    command += ["-append", kernel_command_line(started, public_key)]
    command += ["-daemonize", "-pidfile", str(state.pid_file), "-serial", f"file:{state.console_log}"]
    # A relative path, as the length of a socket's name is limited: QEMU is started in the machine's directory.
    command += ["-qmp", "unix:monitor,server=on,wait=off"]
    command += ["-device", "virtio-rng-pci"]
    command += ["-netdev", f"user,id=host,hostfwd=tcp:127.0.0.1:{started.ssh_port}-:22"]
    command += ["-device", f"virtio-net-pci,netdev=host,romfile=,mac={mac_address('host', name)}"]
    if request.network:
        meeting = f"mcast=230.0.0.1:{network_port(state, request.network)},localaddr=127.0.0.1"
        command += ["-netdev", f"socket,id=private,{meeting}"]
        command += ["-device", f"virtio-net-pci,netdev=private,romfile=,mac={mac_address(request.network, name)}"]
    # The root can be made again, so it need not reach the host's disk. QEMU writes through to the host's memory all the
    # same, hence both kinds of disk survive its death as a guest expects of a power cut.
    command += drive("disk-root", str(state.overlay), "qcow2", "unsafe")
    for disk in request.disks:
        command += drive(f"disk-{disk.serial}", str(state.disk_file(disk)), "raw", "writeback")
    return command
