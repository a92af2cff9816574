#!/usr/bin/env python3
"""The page of plots: each benchmark's table is read, each column of numbers is drawn."""

import importlib.util
import pathlib
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
specification = importlib.util.spec_from_file_location("plots", ROOT / "bench/plots/__main__.py")
plots = importlib.util.module_from_spec(specification)
sys.modules["plots"] = plots
specification.loader.exec_module(plots)

CLONES = """  MiB       saved     resumed
   64       164.0        24.5
  128       210.0        27.0
"""
MOVES = """something before it
  MiB    guest    in all    stood  sent MiB
   64     idle    120 ms    12 ms      20.5
   64  writing    620 ms    42 ms      90.5
  128     idle    190 ms    11 ms      22.0
  128  writing    900 ms    50 ms     120.0
"""


class Plots(unittest.TestCase):
    def test_each_column_of_numbers_is_a_plot(self):
        heads, rows = plots.read_table(CLONES)
        self.assertEqual(heads, ["MiB", "saved", "resumed"])
        drawn = list(plots.plots_of(heads, rows))
        self.assertEqual([caption for caption, _, _ in drawn], ["saved", "resumed"])
        self.assertEqual([row.values for row in drawn[1][1]], [{"resumed": [24.5]}, {"resumed": [27.0]}])

    def test_words_are_lines(self):
        drawn = list(plots.plots_of(*plots.read_table(MOVES)))
        self.assertEqual([caption for caption, _, _ in drawn], ["in all", "stood", "sent MiB"])
        self.assertEqual(drawn[0][2], ["idle", "writing"])
        self.assertEqual(drawn[0][1][1].values, {"idle": [190.0], "writing": [900.0]})
        self.assertEqual((drawn[0][1][0].unit, drawn[2][1][0].unit), ("ms", "sent MiB"))

    def test_what_was_not_measured_is_no_point(self):
        table = MOVES.replace("12 ms", "-    ").replace("50 ms", "-    ")
        stood = list(plots.plots_of(*plots.read_table(table)))[1]
        self.assertEqual([row.values for row in stood[1]],
                         [{"idle": [], "writing": [42.0]}, {"idle": [11.0], "writing": []}])
        self.assertEqual(plots.page_of([("moves", table)]).count("<circle"), 3 * 4 - 2)

    def test_the_page_has_all_of_it(self):
        page = plots.page_of([("clones", CLONES), ("moves", MOVES)])
        self.assertEqual(page.count("<polyline"), 2 + 3 * 2)
        with self.assertRaises(ValueError):
            plots.page_of([("none", "no table here\n")])


if __name__ == "__main__":
    unittest.main()
