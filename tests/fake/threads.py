# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake that is called from many threads, as the real one is, and is none the worse for it."""

from __future__ import annotations

import functools
import threading
import types
import typing as t

C = t.TypeVar("C")


def one_call_at_a_time(fake: type[C]) -> type[C]:
    """Let every public method of a class, inherited ones too, wait until the one before it has returned."""
    turn = threading.RLock()

    def waiting(method: types.FunctionType) -> t.Callable[..., t.Any]:
        @functools.wraps(method)
        def called(*arguments: t.Any, **options: t.Any) -> t.Any:
            with turn:
                return method(*arguments, **options)

        return called

    for name in dir(fake):
        method = getattr(fake, name)
        if isinstance(method, types.FunctionType) and not name.startswith("_"):
            setattr(fake, name, waiting(method))
    return fake
