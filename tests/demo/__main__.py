# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entry point of `python3 tests/demo`, which the script `run` calls."""

from __future__ import annotations

import sys
from pathlib import Path

# A directory that is run is on the path itself; the package needs its parent there.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from demo.story import main

sys.exit(main())
