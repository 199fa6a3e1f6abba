"""The way into a running machine: its key, its SSH command line, its entry in an inventory."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import time
from pathlib import Path

from .failure import TestbedError
from .locations import cache_directory, exclusive
from .machine_state import MachineState, StartedMachine

ADDRESS = "127.0.0.1"
NO_KNOWN_HOSTS = ("-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR")
# The first words of the server come long before its programs are quick to start.
READY_COMMAND = "udevadm settle --timeout=60 && test -c /dev/zfs"


def private_key() -> Path:
    """One pair for all machines: its public half goes onto the kernel command line, so no image holds a key."""
    key = cache_directory() / "ssh_key"
    with exclusive(cache_directory() / "ssh_key.lock"):
        if not key.exists():
            unfinished = key.with_name("ssh_key.new")
            for leftover in (unfinished, Path(f"{unfinished}.pub")):
                leftover.unlink(missing_ok=True)
            generate = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "testbed", "-f", str(unfinished)]
            subprocess.run(generate, check=True, stdin=subprocess.DEVNULL)
            Path(f"{unfinished}.pub").rename(f"{key}.pub")
            unfinished.rename(key)
    return key


def public_key_text() -> str:
    return Path(f"{private_key()}.pub").read_text().split()[1]


def ssh_command(started: StartedMachine, options: list[str] | None = None) -> list[str]:
    identity = ["-F", "none", "-i", str(private_key()), "-o", "IdentitiesOnly=yes"]
    destination = ["-p", str(started.ssh_port), f"root@{ADDRESS}"]
    return ["ssh", *identity, *NO_KNOWN_HOSTS, *(options or []), *destination]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def server_greets(port: int) -> bool:
    """QEMU accepts connections from the beginning, so only the server's own words count."""
    try:
        with socket.create_connection((ADDRESS, port), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def wait_for_ssh(state: MachineState, started: StartedMachine, patience: float) -> None:
    deadline = time.monotonic() + patience
    ready = [*ssh_command(started, ["-o", "BatchMode=yes", "-o", "ConnectTimeout=30"]), READY_COMMAND]
    while time.monotonic() < deadline:
        if state.process() is None:
            raise TestbedError(f"machine {state.name} stopped while it booted; its console: {state.console_log}")
        if "Kernel panic" in state.console_log.read_text(errors="replace"):
            raise TestbedError(f"the kernel of machine {state.name} panicked; its console: {state.console_log}")
        if not server_greets(started.ssh_port):
            time.sleep(0.3)
            continue
        try:
            answer = subprocess.run(ready, stdin=subprocess.DEVNULL, capture_output=True, timeout=90, check=False)
            if answer.returncode == 0:
                return
        except subprocess.TimeoutExpired:
            pass
        time.sleep(1)
    raise TestbedError(
        f"machine {state.name} does not answer over SSH after {patience:.0f} s; its console: {state.console_log}"
    )


def open_shell(started: StartedMachine, command: list[str]) -> None:
    """Become ssh, so that its exit code, signals and terminal are ours."""
    terminal = ["-t"] if not command and os.isatty(0) else []
    arguments = [*ssh_command(started, terminal), *command]
    os.execvp(arguments[0], arguments)


def copy_into(started: StartedMachine, source: Path, destination: str) -> None:
    """The contents of a directory into a directory, or one file to a file name."""
    target = shlex.quote(destination)
    if source.is_dir():
        receive = [*ssh_command(started), f"mkdir -p {target} && tar -x -z --no-same-owner -C {target}"]
        with subprocess.Popen(["tar", "-c", "-z", "-C", str(source), "."], stdout=subprocess.PIPE) as pack:
            received = subprocess.run(receive, stdin=pack.stdout, check=False).returncode
        succeeded = received == 0 and pack.returncode == 0
    elif source.is_file():
        mode = f"{source.stat().st_mode & 0o777:o}"
        receive = [*ssh_command(started), f"install -D -m {mode} /dev/stdin {target}"]
        with source.open("rb") as content:
            succeeded = subprocess.run(receive, stdin=content, check=False).returncode == 0
    else:
        raise TestbedError(f"{source} is neither a file nor a directory.")
    if not succeeded:
        raise TestbedError(f"copying {source} to {started.request.name}:{destination} failed; the reason is above.")


def inventory_variables(started: StartedMachine) -> dict[str, str | int]:
    variables: dict[str, str | int] = {
        "ansible_host": ADDRESS,
        "ansible_port": started.ssh_port,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(private_key()),
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_common_args": " ".join(["-o", "IdentitiesOnly=yes", *NO_KNOWN_HOSTS]),
    }
    if started.private_address:
        variables["testbed_private_address"] = started.private_address.partition("/")[0]
    return variables
