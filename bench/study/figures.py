"""Figures from samples: medians, spreads, ratios and one significance test. Pure functions."""

import itertools
import random
import statistics

PERMUTATIONS = 20000
EXACT_LIMIT = 20000


def median(values):
    return statistics.median(values) if values else None


def quartiles(values):
    """The first and the third; nothing where there are less than two values."""
    if len(values) < 2:
        return ()
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def spread(values):
    """Half of the distance between the quartiles, as a share of the median."""
    if len(values) < 2 or not median(values):
        return None
    low, high = quartiles(values)
    return (high - low) / 2 / abs(median(values))


def ratio(upper, lower):
    """The ratio of the medians; None where there is nothing to divide or to divide by."""
    top, bottom = median(upper), median(lower)
    return None if top is None or not bottom else top / bottom


def rank_sum(first, second):
    """The rank sum of `first` among both, with the mean rank for equal values (Mann-Whitney's
    statistic)."""
    merged = sorted(first + second)
    ranks = {}
    for value, group in itertools.groupby(enumerate(merged, 1), key=lambda pair: pair[1]):
        ranks[value] = statistics.fmean(place for place, _ in group)
    return sum(ranks[value] for value in first), ranks


def significance(first, second, seed=1):
    """The chance of a rank sum at least as far from the middle if both came from one source.

    Every split of the samples is tried where there are few, random ones with a fixed seed where
    there are many; no distribution is assumed.
    """
    if not first or not second:
        return 1.0
    observed, ranks = rank_sum(first, second)
    pool = [ranks[value] for value in first + second]
    middle = sum(pool) * len(first) / len(pool)
    distance = abs(observed - middle) - 1e-9
    if _combinations(len(pool), len(first)) <= EXACT_LIMIT:
        tries = [sum(chosen) for chosen in itertools.combinations(pool, len(first))]
        return sum(abs(total - middle) >= distance for total in tries) / len(tries)
    chance = random.Random(seed)
    far = sum(abs(sum(chance.sample(pool, len(first))) - middle) >= distance
              for _ in range(PERMUTATIONS))
    return (far + 1) / (PERMUTATIONS + 1)


def _combinations(total, chosen):
    result = 1
    for i in range(chosen):
        result = result * (total - i) // (i + 1)
    return result


def number(value):
    if value is None:
        return "-"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 100:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 1 else f"{value:.3f}"


def times(value):
    """A ratio as text."""
    if value is None:
        return "-"
    return f"{value:.3f}x" if value < 0.095 else f"{value:.2f}x" if value < 10 else f"{value:.1f}x"
