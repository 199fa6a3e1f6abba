# Copyright: zfsfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine's power is cut while the keys of sixty datasets are being changed."""

from __future__ import annotations

import random
import time

from . import machine
from .machine import Trouble
from .points import Outcome, Story
from .works import LARGE

CUTS = 8
LONGEST = 1.5  # seconds from the first changing call to the cut; changes and what follows take longer


def cut(story: Story, seed: int, number: int) -> Outcome:
    """Change all keys, cut the power meanwhile, boot again, and look whether all can be opened.

    Args:
        story: of the large work; it talks to another program in the machine afterwards.
        seed: of all chance.
        number: of the cut.
    """
    began = time.monotonic()
    pause = random.Random(f"{seed} cut {number}").uniform(0, LONGEST)
    outcome = Outcome(f"cut-{number}", f"power cut {pause:.2f} s after the first change began")
    try:
        with machine.guest() as guest:
            story.guest = guest
            story.begin()
            guest.tell("change", **story.change())
            is_changing = guest.answer() == "changing"
            time.sleep(pause)
            machine.cut_power()
            outcome.is_in_flight = is_changing and guest.fell_silent()
        machine.find_off()
        machine.start()
        with machine.guest() as guest:
            story.guest = guest
            guest.ask("import_pool")
            found = story.find_keys()
            new = sum(key == story.newest(name) for name, key in found.items())
            outcome.what += f", {new} of {len(found)} roots had their new key"
            story.reopen(found)
            story.finish()
    except Trouble as trouble:
        outcome.troubles.append(str(trouble))
        story.forget()
    outcome.seconds = time.monotonic() - began
    return outcome


def story_of(seed: int) -> Story:
    return Story(LARGE, seed)
