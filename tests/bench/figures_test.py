#!/usr/bin/env python3
"""The study's arithmetic and texts: medians, ratios, rank test, tables, plots, what guests say."""

import html.parser
import importlib.util
import json
import pathlib
import re
import sys
import unittest
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench/study"))

import figures  # noqa: E402
import guests  # noqa: E402
import nano  # noqa: E402
import page  # noqa: E402
import pictures  # noqa: E402
import summary  # noqa: E402
import table  # noqa: E402
import workloads  # noqa: E402
from console import Line, Moment  # noqa: E402
from results import Results  # noqa: E402


CIRCLE = "circle"


def line(text, began=0.0, ended=0.0):
    return Line(text, Moment(began, began), Moment(ended, ended))


class Figures(unittest.TestCase):
    def test_median_of_nothing_is_nothing(self):
        self.assertIsNone(figures.median([]))
        self.assertEqual(figures.median([3, 1, 2]), 2)

    def test_spread_is_half_the_quartile_distance_over_the_median(self):
        self.assertAlmostEqual(figures.spread([8, 9, 10, 11, 12]), 0.1)
        self.assertIsNone(figures.spread([1]))

    def test_ratio_is_of_medians_and_absent_without_a_divisor(self):
        self.assertEqual(figures.ratio([2, 4, 100], [2]), 2)
        self.assertIsNone(figures.ratio([1], []))
        self.assertIsNone(figures.ratio([1], [0]))

    def test_samples_that_do_not_overlap_have_the_exact_chance_of_two_in_all_splits(self):
        self.assertAlmostEqual(figures.significance([1, 2, 3, 4], [5, 6, 7, 8]), 2 / 70)

    def test_equal_samples_have_chance_one(self):
        self.assertEqual(figures.significance([5, 5, 5], [5, 5, 5]), 1.0)
        self.assertEqual(figures.significance([], [1]), 1.0)

    def test_the_test_is_symmetric(self):
        first, second = [1.0, 4.0, 2.0, 7.0], [3.0, 9.0, 8.0]
        self.assertAlmostEqual(figures.significance(first, second),
                               figures.significance(second, first))

    def test_many_samples_are_split_at_random_and_repeatably(self):
        first, second = list(range(30)), [value + 0.5 for value in range(30)]
        chance = figures.significance(first, second)
        self.assertEqual(chance, figures.significance(first, second))
        self.assertGreater(chance, 0.5)
        self.assertLess(figures.significance(first, [value + 40 for value in first]), 0.001)

    def test_numbers_have_three_digits_or_so(self):
        self.assertEqual([figures.number(value) for value in (None, 12345.6, 123.4, 12.34, 1.234,
                                                              0.1234)],
                         ["-", "12,346", "123", "12.3", "1.23", "0.123"])


class Nano(unittest.TestCase):
    def test_a_result_is_in_hexadecimal(self):
        self.assertEqual(nano.parse("nano in 00000010 00000100"), ("in", 16, 256))
        self.assertIsNone(nano.parse("nano in 00000010"))
        self.assertIsNone(nano.parse("nano in zz 00000100"))
        self.assertIsNone(nano.parse("nano in 00000000 00000100"))

    def test_cycles_an_operation_by_the_guests_counter(self):
        lines = [line("nano in 10 100"), line("skip syscall"), line("nano in 10 120")]
        self.assertEqual(nano.collect(lines), {"in": [16.0, 18.0]})

    def test_lines_read_together_say_nothing_of_time(self):
        lines = [line("nano in a 1", 3, 4), line("nano in a 1", 4, 4)]
        self.assertEqual(nano.collect_from_outside(lines, 1000), {})

    def test_from_outside_a_repetition_is_what_passes_between_two_lines(self):
        lines = [line("nano in a 1", 0, 1), line("nano in a 1", 3, 4), line("nano out a 1", 9, 10)]
        self.assertEqual(nano.collect_from_outside(lines, 1000), {"in": [200.0]})


class Workloads(unittest.TestCase):
    def test_a_result_has_seconds(self):
        found = workloads.parse("work pipe 500 2000000000 1000000000 7")
        self.assertEqual(found, workloads.Figure(500, 2.0, 1.0, 7))

    def test_what_is_no_result_is_none(self):
        for text in ("work pipe 500 2 1", "work pipe x 2 1 7", "work pipe 0 2 1 7", "done 0"):
            self.assertIsNone(workloads.parse(text))

    def test_turns_follow_from_the_time_of_a_short_run(self):
        self.assertEqual(workloads.turns_for(0.5, 100, 0.05), 1000)
        self.assertEqual(workloads.turns_for(0.5, 1, 3.0), 1)
        self.assertEqual(workloads.turns_for(0.5, 100, 0), 800)

    def test_waiting_is_taken_out_of_the_time_of_translation(self):
        before = dict.fromkeys(guests.TIMES, 0)
        after = dict(zip(guests.TIMES, (3.0, 1.0, 10.0, 2.0, 4000)))
        split = guests.time_split(before, after, 1000)  # 4 of 8 s awake were spent on a processor
        self.assertEqual(list(split.values()), [1.0, 0.0, 2.0, 1.0])
        self.assertEqual(list(guests.time_split(before, after, 1000, 9.0).values())[1], 5.0)
        self.assertEqual(guests.time_split({}, after, 1000), {})

    def test_counters_that_moved_are_the_difference(self):
        self.assertEqual(guests.difference({"a": 1, "b": 2}, {"a": 4, "b": 2, "time": 0.5, "c": 1}),
                         {"a": 3, "c": 1})


class PageReader(html.parser.HTMLParser):
    """Elements that are opened and closed in order, and what would be loaded from elsewhere."""

    def __init__(self):
        super().__init__()
        self.open, self.loads = [], []

    def handle_starttag(self, tag, attrs):
        self.loads += [value for name, value in attrs
                       if name in ("src", "href") and not value.startswith(("#", "data:"))]
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if self.open.pop() != tag:
            raise AssertionError(f"</{tag}> closes another element")


class Pages(unittest.TestCase):
    def setUp(self):
        self.results = Results('a "machine" <with> & signs')
        self.results.columns = ["ringshift", "tcg", "native"]
        for part, name, title in (("nano", "in", "IN"), ("macro", "pipe", "pipe <b>"),
                                  ("processes", "p-1", "turn: 1"), ("processes", "p-2", "turn: 2")):
            row = self.results.row(part, name, title, "us")
            self.results.add(row, "ringshift", [4.0, 5.0])
            self.results.add(row, "tcg", [9.0])
            self.results.add(row, "native", [1.0])
            row.counters["ringshift"] = {"exits.interpret": 3.0, "exits.unlinked": 1.0}
            row.time["ringshift"] = {"translation": 0.1, "the host's kernel": 0.3}
        self.text = page.page_of(self.results)

    def test_every_element_is_closed_and_nothing_is_loaded(self):
        reader = PageReader()
        reader.feed(self.text)
        reader.close()
        self.assertEqual(reader.open, [])
        self.assertEqual(reader.loads, [])

    def test_charts_are_well_formed_and_have_a_dot_for_each_column(self):
        plots = re.findall(r"<svg.*?</svg>", self.text, re.DOTALL)
        self.assertGreaterEqual(len(plots), 4)
        dots = [sum(1 for _ in xml.etree.ElementTree.fromstring(plot).iter(CIRCLE)) for plot in plots]
        self.assertEqual(dots[0], 3)  # cycles
        self.assertIn(2, dots)        # times native

    def test_means_are_geometric_and_of_workloads_first(self):
        found = summary.of_peer(self.results, "native")
        self.assertEqual(list(found), ["macro", "processes", "nano"])
        self.assertEqual([ratio for ratio, _ in found["macro"]], [4.5])
        self.assertAlmostEqual(summary.geometric_mean([2, 8]), 4)
        self.assertIn('<p class="big">4.50x</p>', self.text)

    def test_a_loaded_machine_is_told(self):
        self.assertEqual(summary.load_of("X; 2 CPUs; load 0.6 0.1 0.1"), (0.6, 2))
        self.assertTrue(summary.warning("X; 2 CPUs; load 0.6 0.1 0.1"))
        self.assertFalse(summary.warning("X; 2 CPUs; load 0.5 0.9 0.9"))
        self.assertFalse(summary.warning("a machine"))

    def test_a_second_study_is_laid_over(self):
        second = Results("another machine")
        second.columns = ["ringshift", "native"]
        row = second.row("macro", "pipe", "pipe <b>", "us")
        second.add(row, "ringshift", [9.0])
        second.add(row, "native", [1.0])
        text = page.page_of(self.results, second)
        self.assertIn("another machine", text)
        self.assertIn("in the other study 9.00x", text)
        self.assertEqual(text.count('class="mark second"'), 1)
        self.assertIn("<td class=n>0.50x</td>", text)  # 4.5 of 9

    def test_text_of_guests_is_escaped(self):
        self.assertNotIn("pipe <b>", self.text)
        self.assertIn("pipe &lt;b&gt;", self.text)

    def test_the_values_are_in_the_page(self):
        found = re.search(r'<script type="application/json" id="results">(.*?)</script>', self.text)
        self.assertEqual(json.loads(found.group(1)), self.results.to_json())

    def test_a_chart_without_its_base_is_left_out(self):
        self.assertEqual(pictures.dot_plot(self.results.part("nano"), ["ringshift"], "", "bochs"), "")

    def test_ticks_are_round_numbers(self):
        self.assertEqual(pictures.ticks_between(0.9, 25), [1, 2, 5, 10, 20])


class Comparison(unittest.TestCase):
    def setUp(self):
        location = ROOT / "bench/compare/__main__.py"
        known = importlib.util.spec_from_file_location("compare", location)
        self.compare = importlib.util.module_from_spec(known)
        known.loader.exec_module(self.compare)

    def verdict(self, old, new):
        results = Results("a machine")
        row = results.row("nano", "in", "IN", "cycles")
        results.add(row, "old", old)
        results.add(row, "new", new)
        return self.compare.verdict_of(row, 0.05)[2]

    def test_a_clear_difference_has_a_direction(self):
        self.assertEqual(self.verdict([10, 11, 12, 13], [20, 21, 22, 23]), "slower")
        self.assertEqual(self.verdict([20, 21, 22, 23], [10, 11, 12, 13]), "faster")

    def test_chance_is_no_difference(self):
        self.assertEqual(self.verdict([10, 11, 12, 13], [10, 12, 11, 14]), "")

    def test_both_builds_come_first_in_turn(self):
        self.assertEqual([self.compare.in_turn(["a", "b"], number) for number in (0, 1, 2)],
                         [["a", "b"], ["b", "a"], ["a", "b"]])


class Tables(unittest.TestCase):
    def setUp(self):
        self.results = Results("a machine")
        self.results.columns = ["ringshift", "tcg", "native"]
        row = self.results.row("nano", "in", "IN", "cycles", {"vmware 2006": 215})
        self.results.add(row, "ringshift", [100, 100, 100])
        self.results.add(row, "tcg", [200])

    def test_a_row_has_medians_ratios_and_published_figures(self):
        text = table.text_of(self.results)
        row = next(part for part in text.splitlines() if part.startswith("| IN"))
        self.assertEqual([word.strip() for word in row.strip("|").split("|")],
                         ["IN", "cycles", "100 ±0%", "200", "0.50x", "215"])

    def test_a_column_without_values_is_not_shown(self):
        self.assertNotIn("native", table.text_of(self.results))

    def test_notes_are_one_line_each_and_said_once(self):
        for _ in range(2):
            self.results.note("left out: bochs: not there")
        self.assertEqual(table.text_of(self.results).count("note: left out: bochs"), 1)

    def test_results_survive_json(self):
        again = Results.from_json(self.results.to_json())
        self.assertEqual(table.text_of(again), table.text_of(self.results))


if __name__ == "__main__":
    unittest.main()
