"""The commands of `tests/testbed/vm`."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from . import machine
from .failure import TestbedError
from .guest_ssh import copy_into, inventory_variables, open_shell, ssh_command
from .host_packages import install_packages
from .image import provide_image
from .locations import MACHINES
from .machine_request import MachineRequest, parse_disk
from .machine_state import all_machines, machine_state
from .progress import say
from .suites import DEFAULT_SUITE, SUITES, suite_named


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="vm", description="Virtual machines with OpenZFS to test on.")
    commands = top.add_subparsers(dest="command", required=True)

    commands.add_parser("packages", help="install what this host lacks")

    image = commands.add_parser("image", help="build the base image, unless it is cached, and print its path")
    image.add_argument("--suite", choices=SUITES, default=DEFAULT_SUITE)

    start = commands.add_parser("start", help="boot a machine, wait for SSH and print how to log in")
    start.add_argument("name")
    start.add_argument("--suite", choices=SUITES, default=DEFAULT_SUITE)
    start.add_argument("--disk", action="append", default=[], metavar="SERIAL=SIZE", help="may be repeated")
    start.add_argument("--memory", type=int, default=2048, metavar="MIB")
    start.add_argument("--cpus", type=int, default=2)
    start.add_argument("--network", metavar="NETWORK", help="join a private network with other machines")
    start.add_argument("--fresh", action="store_true", help="discard the disks of an earlier run")

    stop = commands.add_parser("stop", help="shut a machine down; its disks stay for the next start")
    chosen = stop.add_mutually_exclusive_group(required=True)
    chosen.add_argument("name", nargs="?")
    chosen.add_argument("--all", action="store_true")
    stop.add_argument("--power-cut", action="store_true", help="take its power away instead")
    stop.add_argument("--discard", action="store_true", help="take its power away and delete its disks")

    commands.add_parser("status", help="list the machines of this checkout")

    ssh = commands.add_parser("ssh", help="log in, or run a command and pass on its exit code")
    ssh.add_argument("name")
    ssh.add_argument("remote_command", nargs=argparse.REMAINDER)

    copy = commands.add_parser("copy", help="copy a file, or the contents of a directory, into a machine")
    copy.add_argument("name")
    copy.add_argument("source", type=Path)
    copy.add_argument("destination")

    inventory = commands.add_parser("inventory", help="print an Ansible inventory in YAML")
    inventory.add_argument("names", nargs="+", metavar="name")
    inventory.add_argument("--vars", action="store_true", help="only the variables of the one machine")

    clean = commands.add_parser("clean", help="discard all machines of this checkout")
    clean.add_argument("--cache", action="store_true", help="and the images, QEMU and the SSH key")
    return top


def show_start(arguments: argparse.Namespace) -> None:
    request = MachineRequest(
        name=arguments.name,
        suite=arguments.suite,
        disks=tuple(parse_disk(text) for text in arguments.disk),
        memory=arguments.memory,
        cpus=arguments.cpus,
        network=arguments.network,
    )
    print(shlex.join(ssh_command(machine.start(request, fresh=arguments.fresh))))


def show_status() -> None:
    machines = all_machines() if MACHINES.exists() else []
    if not machines:
        say("no machines")
    for state in machines:
        started, pid = state.load(), state.process()
        if started is None:
            print(f"{state.name}: unfinished; `start` or `clean` clears it")
            continue
        condition = "stopped" if pid is None else f"{'running' if started.ready else 'booting'}, pid {pid}"
        address = f", {started.private_address}" if started.private_address else ""
        print(f"{machine.describe(started.request)}{address}: {condition}, ssh port {started.ssh_port}")


def show_inventory(names: list[str], only_variables: bool) -> None:
    """JSON strings and numbers are YAML."""
    if only_variables and len(names) != 1:
        raise TestbedError("--vars prints the variables of one machine; name just one.")
    indent = "" if only_variables else "      "
    lines = [] if only_variables else ["all:", "  hosts:"]
    for name in names:
        lines += [] if only_variables else [f"    {name}:"]
        variables = inventory_variables(machine_state(name).running())
        lines += [f"{indent}{key}: {json.dumps(value)}" for key, value in variables.items()]
    print("\n".join(lines))


def stop_chosen(arguments: argparse.Namespace) -> None:
    names = [state.name for state in all_machines()] if arguments.all else [arguments.name]
    for name in names:
        machine.stop(name, power_cut=arguments.power_cut, discard=arguments.discard)


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "packages": lambda given: install_packages(),
    "image": lambda given: print(provide_image(suite_named(given.suite)).root),
    "start": show_start,
    "stop": stop_chosen,
    "status": lambda given: show_status(),
    "ssh": lambda given: open_shell(machine_state(given.name).running(), given.remote_command),
    "copy": lambda given: copy_into(machine_state(given.name).running(), given.source, given.destination),
    "inventory": lambda given: show_inventory(given.names, given.vars),
    "clean": lambda given: machine.clean(cache=given.cache),
}


def end_on_signal(number: int, _frame: FrameType | None) -> None:
    """Leave by an exception, so that what was started is stopped on the way out."""
    sys.exit(128 + number)


def main(words: list[str]) -> int:
    signal.signal(signal.SIGTERM, end_on_signal)
    signal.signal(signal.SIGHUP, end_on_signal)
    try:
        arguments = parser().parse_args(words)
        COMMANDS[arguments.command](arguments)
    except TestbedError as error:
        print(f"vm: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("vm: interrupted", file=sys.stderr)
        return 130
    return 0
