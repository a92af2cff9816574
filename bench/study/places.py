"""Where things are, and what the tests' harness has that the study uses as well."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/guests"))

from harness import Stage, guests_folder, offers_direct, without_privilege  # noqa: E402, F401
