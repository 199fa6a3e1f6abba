from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from testbed.accelerator import accelerator_arguments, kvm_works
from testbed.failure import TestbedError
from testbed.image import Image
from testbed.machine_request import Disk, MachineRequest, parse_disk
from testbed.machine_state import MachineState, StartedMachine
from testbed.qemu_binary import Qemu, major_version
from testbed.qemu_command import qemu_command

QEMU = Qemu("/usr/bin/qemu-system-x86_64", 10)
REQUEST = MachineRequest(name="a", disks=(Disk("d0", 2**30), Disk("d1", 2**20)))


def command_for(request: MachineRequest, *, qemu: Qemu = QEMU, private_address: str | None = None) -> list[str]:
    return qemu_command(
        qemu=qemu,
        kvm=False,
        image=Image(Path("/cache/trixie-1")),
        state=MachineState(Path("/state/a")),
        started=StartedMachine(request, "/cache/trixie-1", ssh_port=2222, private_address=private_address),
        public_key="AAAA",
    )


def values_of(command: list[str], option: str) -> list[str]:
    return [command[place + 1] for place, word in enumerate(command[:-1]) if word == option]


def test_disks_carry_their_serials_and_power_cuts_are_honest() -> None:
    command = command_for(REQUEST)
    root, first, second = values_of(command, "-drive")
    assert "file=/state/a/root.qcow2,format=qcow2,cache=unsafe" in root
    assert "file=/state/a/disks/d0.img,format=raw,cache=writeback" in first
    assert "file=/state/a/disks/d1.img" in second
    assert "virtio-blk-pci,drive=disk-d0,serial=d0" in values_of(command, "-device")


def test_everything_listens_on_the_loopback_address() -> None:
    command = command_for(replace(REQUEST, network="storage"), private_address="10.77.0.1/24")
    host, private = values_of(command, "-netdev")
    assert host == "user,id=host,hostfwd=tcp:127.0.0.1:2222-:22"
    assert private.endswith(",localaddr=127.0.0.1")
    assert "testbed.private_address=10.77.0.1/24" in values_of(command, "-append")[0].split()


def test_machines_of_a_network_share_its_port_and_no_address() -> None:
    one, other = (command_for(replace(REQUEST, name=name, network="storage")) for name in ("a", "b"))
    assert values_of(one, "-netdev")[1] == values_of(other, "-netdev")[1]
    addresses = [value for command in (one, other) for value in values_of(command, "-device") if "mac=" in value]
    assert len(set(addresses)) == 4


def test_kernel_learns_key_and_name() -> None:
    words = values_of(command_for(REQUEST), "-append")[0].split()
    assert {"testbed.ssh_key=AAAA", "systemd.hostname=a", "panic=-1", "root=LABEL=testbed"} <= set(words)


def test_unpacked_qemu_brings_its_libraries_and_firmware() -> None:
    qemu = Qemu("/c/usr/bin/qemu-system-x86_64", 10, unpacked=Path("/c"))
    assert values_of(command_for(REQUEST, qemu=qemu), "-L") == ["/c/usr/share/qemu", "/c/usr/share/seabios"]
    assert qemu.environment()["LD_LIBRARY_PATH"].startswith("/c/usr/lib/")
    assert values_of(command_for(REQUEST), "-L") == []


@pytest.mark.parametrize(
    ("flags", "writable", "works"),
    [
        pytest.param("fpu vmx sse", True, True, id="intel"),
        pytest.param("fpu svm sse", True, True, id="amd"),
        pytest.param("fpu sse svm_lock", True, False, id="device-without-extension"),
        pytest.param("fpu vmx sse", False, False, id="no-access"),
    ],
)
def test_kvm_takes_the_extension_and_the_device(flags: str, writable: bool, works: bool) -> None:
    assert kvm_works(flags, writable) is works


@pytest.mark.parametrize(
    ("kvm", "major", "accelerator"),
    [(True, 7, "kvm"), (False, 10, "tcg,thread=multi"), (False, 7, "tcg,thread=single")],
)
def test_old_qemu_emulates_in_one_thread(kvm: bool, major: int, accelerator: str) -> None:
    assert accelerator_arguments(kvm, major)[1] == accelerator


@pytest.mark.parametrize(("version", "major"), [("10.0.2", 10), ("1:7.2+dfsg-7+deb12u18+b3", 7), ("(none)", 0)])
def test_major_version(version: str, major: int) -> None:
    assert major_version(version) == major


def test_disk_sizes() -> None:
    assert parse_disk("d0=1G") == Disk("d0", 2**30)
    assert parse_disk("disk_1.a-b=512M") == Disk("disk_1.a-b", 512 * 2**20)


@pytest.mark.parametrize("text", ["d0", "d0=", "d0=1X", "d0=0G", "=1G", "root=1G", "a,b=1G", f"{'x' * 21}=1G"])
def test_malformed_disks_are_refused(text: str) -> None:
    with pytest.raises(TestbedError, match="SERIAL=SIZE"):
        parse_disk(text)


@pytest.mark.parametrize("name", ["", "../a", "a b", "-a", "a" * 41])
def test_names_that_are_no_host_names_are_refused(name: str) -> None:
    with pytest.raises(TestbedError, match="the name"):
        MachineRequest(name=name)


def test_same_serial_twice_is_refused() -> None:
    with pytest.raises(TestbedError, match="same serial"):
        MachineRequest(name="a", disks=(Disk("d0", 1), Disk("d0", 1)))
