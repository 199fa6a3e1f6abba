"""What is being done and how long it took, on stderr: stdout belongs to the result of a command."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator


def say(text: str) -> None:
    print(f"==> {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    say(text)
    started = time.monotonic()
    try:
        yield
    except BaseException:
        print(f"    failed after {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        raise
    print(f"    done in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
