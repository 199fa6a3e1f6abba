"""Entry point of `python3 tests/testbed`, which the script `vm` calls."""

from __future__ import annotations

import sys
from pathlib import Path

# A directory that is run is on the path itself; the package needs its parent there.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from testbed.command_line import main

sys.exit(main(sys.argv[1:]))
