"""Makes the package `testbed` importable: it is a tool beside the tests, not part of the collection."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
