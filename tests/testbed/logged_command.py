"""Runs a command whose output goes to a log file, which is named when the command fails."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO

from .failure import TestbedError

LINES_SHOWN = 15


def run_logged(
    command: list[str],
    log: Path,
    *,
    environment: dict[str, str] | None = None,
    standard_input: IO[bytes] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Run to the end, or stop the command and all its children when we are stopped ourselves."""
    with log.open("a") as log_file:
        log_file.write(f"$ {' '.join(command)}\n")
        log_file.flush()
        try:
            process = subprocess.Popen(
                command,
                stdin=standard_input or subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=environment,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise TestbedError(f"{command[0]} is not installed: run `tests/testbed/vm packages`.") from None
        try:
            assert process.stdout
            for line in process.stdout:
                log_file.write(line)
                log_file.flush()
                if on_line:
                    on_line(line)
            status = process.wait()
        except BaseException:
            stop_group(process)
            raise
    if status != 0:
        last_lines = "\n".join(f"    {line}" for line in log.read_text(errors="replace").splitlines()[-LINES_SHOWN:])
        raise TestbedError(f"{command[0]} failed (exit code {status}):\n{last_lines}\nAll of its output: {log}")


def stop_group(process: subprocess.Popen[str]) -> None:
    """End the command with its children; it gets a moment to undo its mounts."""
    for chosen, patience in ((signal.SIGTERM, 20), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, chosen)
            process.wait(patience)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
