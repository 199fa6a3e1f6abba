"""Starting, stopping and clearing away machines."""

from __future__ import annotations

import shutil
import signal
import subprocess

from .accelerator import host_has_kvm
from .failure import TestbedError
from .guest_ssh import free_port, port_is_free, public_key_text, ssh_command, wait_for_ssh
from .image import Image, current_image, provide_image
from .locations import cache_directory, exclusive, machines_directory, remove_tree
from .machine_request import MachineRequest
from .machine_state import (
    MachineState,
    StartedMachine,
    all_machines,
    end_process,
    machine_state,
    qemu_processes_naming,
    wait_for_end,
)
from .progress import say, step
from .qemu_binary import find_qemu
from .qemu_command import qemu_command
from .suites import suite_named

BOOT_PATIENCE = 300.0


def start(request: MachineRequest, *, fresh: bool = False) -> StartedMachine:
    suite = suite_named(request.suite)
    state = machine_state(request.name)
    with exclusive(state.lock):
        before = state.load()
        if state.process() is not None and before is not None and before.ready and not fresh:
            if before.request != request:
                raise TestbedError(
                    f"machine {request.name} runs with other arguments ({describe(before.request)}); stop it first."
                )
            outdated = before.image != str(current_image(suite).directory)
            say(f"machine {request.name} is running{', on an older image until it is stopped' if outdated else ''}")
            return before
        if state.kill():
            say(f"cleared the process that an interrupted or earlier run of {request.name} has left behind")
        if fresh:
            remove_tree(state.directory)
            before = None
        image = provide_image(suite)
        prepare_disks(state, request, image, before)
        # Others may start at the same time, and must not be given the same address.
        with exclusive(machines_directory() / "addresses.lock"):
            started = StartedMachine(
                request=request,
                image=str(image.directory),
                ssh_port=before.ssh_port if before and port_is_free(before.ssh_port) else free_port(),
                private_address=private_address(request, before),
            )
            state.save(started)
        try:
            return boot(state, started, image)
        except BaseException:
            state.kill()
            raise


def boot(state: MachineState, started: StartedMachine, image: Image) -> StartedMachine:
    kvm = host_has_kvm()
    qemu = find_qemu(kvm)
    speed = "KVM" if kvm else "emulated"
    with step(f"booting {describe(started.request)} ({image.versions()}; QEMU {qemu.major}, {speed})"):
        command = qemu_command(
            qemu=qemu, kvm=kvm, image=image, state=state, started=started, public_key=public_key_text()
        )
        launched = subprocess.run(
            command,
            cwd=state.directory,
            env=qemu.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if launched.returncode != 0:
            raise TestbedError(f"QEMU did not start machine {state.name}: {launched.stderr.strip()}")
        wait_for_ssh(state, started, BOOT_PATIENCE)
    return state.mark_ready(started)


def describe(request: MachineRequest) -> str:
    disks = " ".join(f"{disk.serial}={disk.size / 2**30:g}G" for disk in request.disks) or "no disks"
    network = f", network {request.network}" if request.network else ""
    return f"{request.name}: {request.suite}, {request.cpus} cpus, {request.memory} MiB, {disks}{network}"


def prepare_disks(state: MachineState, request: MachineRequest, image: Image, before: StartedMachine | None) -> None:
    """Keep what a stopped machine has on its disks, as a power cut would; make what is missing."""
    (state.directory / "disks").mkdir(parents=True, exist_ok=True)
    if before is None or before.image != str(image.directory) or not state.overlay.exists():
        state.overlay.unlink(missing_ok=True)
        create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(image.root), str(state.overlay)]
        subprocess.run(create, check=True, stdin=subprocess.DEVNULL)
    for disk in request.disks:
        path = state.disk_file(disk)
        if not path.exists():
            with path.open("wb") as file:
                file.truncate(disk.size)
        elif path.stat().st_size != disk.size:
            raise TestbedError(
                f"disk {disk.serial} of {request.name} has another size already; `start --fresh` makes all disks anew."
            )


def private_address(request: MachineRequest, before: StartedMachine | None) -> str | None:
    """The lowest address that no other machine of this network has; a machine keeps the one it had."""
    if request.network is None:
        return None
    if before and before.private_address and before.request.network == request.network:
        return before.private_address
    others = [machine.load() for machine in all_machines() if machine.name != request.name]
    taken = {other.private_address for other in others if other and other.request.network == request.network}
    free = (f"10.77.0.{number}/24" for number in range(1, 255))
    return next(address for address in free if address not in taken)


def stop(name: str, *, power_cut: bool = False, discard: bool = False) -> None:
    state = machine_state(name)
    if not state.directory.exists():
        say(f"there is no machine {name}")
        return
    with exclusive(state.lock), step(f"stopping {name}"):
        pid = state.process()
        if pid is not None and not (power_cut or discard):
            power_off(state, pid)
        state.kill()
        (state.directory / "monitor").unlink(missing_ok=True)
        if discard:
            remove_tree(state.directory)


def power_off(state: MachineState, pid: int) -> None:
    """Let the guest write what it holds; one that does not answer is left to be killed."""
    started = state.load()
    if started is None or not started.ready:
        return
    command = [*ssh_command(started, ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]), "systemctl poweroff"]
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return
    wait_for_end(pid, patience=60)


def clean(*, cache: bool = False) -> None:
    for state in all_machines():
        stop(state.name, discard=True)
    # Those whose directory somebody has deleted under them.
    for pid in qemu_processes_naming(f"{machines_directory()}/"):
        end_process(pid, signal.SIGKILL, patience=10)
    shutil.rmtree(machines_directory())
    if cache:
        if next(qemu_processes_naming(str(cache_directory())), None) is not None:
            raise TestbedError("machines of another checkout use the cache; stop them first.")
        with step(f"removing {cache_directory()}"):
            remove_tree(cache_directory())
