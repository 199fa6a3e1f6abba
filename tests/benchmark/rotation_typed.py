# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs inside the machine for ``make rotation``: ``zfs change-key`` of every root below a dataset; prints seconds.

python3 -m ...tests.benchmark.rotation_typed PARENT N
"""

from __future__ import annotations

import sys

from . import pool


def change_all(parent: str, count: int) -> float:
    pool.write_keys(pool.names(parent, count))
    change = f"zfs change-key -o keyformat=hex -o keylocation=file://{pool.key_file(f'{parent}/r$n')} {parent}/r$n"
    return pool.typed(f"for n in $(seq -f %04g 1 {count}); do {change}; done")


if __name__ == "__main__":
    print(change_all(sys.argv[1], int(sys.argv[2])))
