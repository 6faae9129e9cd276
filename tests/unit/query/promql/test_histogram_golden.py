"""Native histograms alone, against the expected results of Prometheus' own suite (native_histograms.test).

What can be read without a parser is: functions of one series of one histogram. The whole suite is run elsewhere.
"""

import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

sys.path[:0] = [str(Path(__file__).parents[3] / "properties")]
from promql_histogram_reference import block_of, read  # noqa: E402 (beside other tests)

from gnomon_server.query.promql.histograms.block import Histograms  # noqa: E402 (likewise)
from gnomon_server.query.promql.histograms.resets import close  # noqa: E402 (the path comes first)
from gnomon_server.query.promql.histograms.statistics import averages, deviations, fractions, quantiles, variances  # noqa: E402 (likewise)
from gnomon_server.query.promql.histograms.trim import trim  # noqa: E402 (likewise)

CORPORA = Path(os.environ.get("GNOMON_CORPORA", Path(__file__).parents[5] / "shared" / "corpora"))
SCRIPT = CORPORA / "promqltest" / "split" / "dev" / "native_histograms.test"
NUMBER = r"[-+]?(?:[\d.]+(?:e[-+]?\d+)?|inf|nan)"
OF_ONE: dict[str, Callable[[Histograms], np.ndarray]] = {
    "histogram_count": lambda block: block.count,
    "histogram_sum": lambda block: block.sum,
    "histogram_avg": averages,
    "histogram_stddev": deviations,
    "histogram_stdvar": variances,
}
FORMS = (
    rf"(?P<function>histogram_quantile|histogram_fraction)\((?P<numbers>(?:{NUMBER}, )+)(?P<name>\w+)\)",
    rf"(?P<function>histogram_\w+)\((?P<name>\w+)(?: (?P<cut></|>/) (?P<value>{NUMBER}))?\)",
    rf"(?P<name>\w+) (?P<cut></|>/) (?P<value>{NUMBER})",
)


def evaluations() -> Iterator[tuple[str, str, str]]:
    """An expression over one series, its histogram and its result, all as text."""
    loaded: dict[str, str] = {}
    loading = False
    lines = SCRIPT.read_text().splitlines()
    for at, line in enumerate(lines):
        if line == "clear":
            loaded = {}
        if line and not line[0].isspace():
            loading = line.startswith("load ")
        if loading and (series := re.fullmatch(r"\s+(\w+)\s+\{\{([^}]*)\}\}(?:x1)?", line)):
            loaded[series[1]] = series[2]
        if asked := re.fullmatch(r"eval instant at \w+ (.*)", line):
            results = [text.strip() for text in lines[at + 1 : at + 5]]
            result = next((text for text in results if re.match(r"\w*\s*(\{\}|\{\{)", text)), "")
            form = next((found for form in FORMS if (found := re.fullmatch(form, asked[1], re.IGNORECASE))), None)
            if form and form["name"] in loaded and result:
                yield asked[1], loaded[form["name"]], result


def answer(expression: str, histogram: str) -> np.ndarray | Histograms:
    """What the columns give."""
    form = next(found for form in FORMS if (found := re.fullmatch(form, expression, re.IGNORECASE))).groupdict()
    block = block_of([read(histogram)])
    if form.get("cut"):
        block = trim(block, np.array([float(form["value"])]), below=form["cut"] == "</")
    numbers = [np.array([float(one)]) for one in re.findall(NUMBER, form.get("numbers") or "", re.IGNORECASE)]
    if form.get("function") == "histogram_quantile":
        return quantiles(block, *numbers)[0]
    if form.get("function") == "histogram_fraction":
        return fractions(block, *numbers)[0]
    return OF_ONE[form["function"]](block) if form.get("function") else block


@pytest.mark.corpus
@pytest.mark.skipif(not SCRIPT.exists(), reason=f"no corpus at {SCRIPT} (GNOMON_CORPORA)")
def test_functions_of_one_histogram() -> None:
    """Each function of one histogram that the script evaluates has the expected result."""
    asked = list(evaluations())
    assert len(asked) > 100, len(asked)
    for expression, histogram, result in asked:
        found, expected = answer(expression, histogram), result.rsplit("{}", 1)[-1].strip()
        if isinstance(found, Histograms):
            wanted = block_of([read(result[result.index("{{") + 2 : result.rindex("}}")])])
            assert close(found, wanted, 1e-6).all(), (expression, histogram, result)
        else:
            number = float(expected)
            alike = math.isclose(found[0], number, rel_tol=1e-6) or (math.isnan(number) and math.isnan(found[0]))
            assert alike, (expression, histogram, result, found)
