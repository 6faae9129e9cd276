"""The promqltest language: commands, expectations, and what is none of it."""

import pytest
from tests.promqltest.language import (
    Clear,
    Evaluation,
    Expected,
    Load,
    Point,
    Said,
    ScriptError,
    read_script,
)
from tests.promqltest.run import CORPUS

UP = (("__name__", "up"),)
DEV = CORPUS / "split" / "dev"
EVALUATIONS = 1_108
"""In the half of the corpus that is here, as its README counts them."""


def _evaluation(text: str) -> Evaluation:
    (command,) = read_script(text)
    assert isinstance(command, Evaluation)
    return command


@pytest.mark.corpus
@pytest.mark.skipif(not DEV.exists(), reason=f"no corpus at {DEV} (GNOMON_CORPORA)")
def test_every_evaluation_of_the_corpus_is_read() -> None:
    """Of every file; none is left out."""
    commands = [command for path in DEV.glob("*.test") for command in read_script(path.read_text("utf-8"))]
    assert sum(isinstance(command, Evaluation) for command in commands) == EVALUATIONS


def test_commands_are_read_in_order() -> None:
    """Comments and empty lines end a block; commands may also follow each other."""
    commands = read_script(
        "# nothing\nload 1m\n  up 1 _ 3\n# up 9\n\nclear\neval instant at 1m up\n  up 1\n\n"
        "eval range from 0 to 2m step 30s up"
    )
    assert [type(command) for command in commands] == [Load, Clear, Evaluation, Evaluation]
    assert commands[0] == Load({UP: [Point(0, 1), Point(120_000, 3)]})
    assert commands[2] == Evaluation(7, "up", 60_000, 60_000, 0, 60_000, series={UP: Expected(1, [1])})
    assert commands[3] == Evaluation(10, "up", 0, 120_000, 30_000, 0, is_range=True)


def test_the_later_of_two_lines_of_a_series_counts() -> None:
    """Within one load, as in Prometheus' runner."""
    assert read_script("load 1s\n up 1 1\n up 2") == [Load({UP: [Point(0, 2)]})]


def test_start_times_go_to_their_samples() -> None:
    """A series' own, for the line after it; those without a series, for all others, over and over."""
    (load,) = read_script("load 1m\n @st -1s _\n up 1 2 3\n down@st _ -5s\n down 1 2")
    down = (("__name__", "down"),)
    assert load == Load(
        {
            UP: [Point(0, 1, -1000), Point(60_000, 2), Point(120_000, 3, 119_000)],
            down: [Point(0, 1), Point(60_000, 2, 55_000)],
        }
    )


def test_a_lone_number_is_a_scalar_and_ends_the_evaluation() -> None:
    """The next line begins a command."""
    commands = read_script("eval instant at 0 1+1\n 2\neval instant at 0 -Inf\n -Inf")
    assert [command.scalar for command in commands if isinstance(command, Evaluation)] == [2, float("-inf")]


def test_expectations_are_read() -> None:
    """`expect` lines may stand in any order, and are no places."""
    found = _evaluation(
        "eval instant at 0 up\n expect ordered\n expect warn msg: PromQL warning: x (1:1)\n expect warn regex: y.*\n"
        ' expect no_info\n {a="1"} 1\n {a="2"} 2'
    )
    assert found.ordered
    assert found.no_info
    assert found.warns == (Said(text="PromQL warning: x (1:1)"), Said(pattern="y.*"))
    assert [expected.place for expected in found.series.values()] == [1, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("eval_fail instant at 0 up", Said()),
        ("eval_fail instant at 0 up\n expected_fail_message no: such", Said(text="no: such")),
        ("eval_fail range from 0 to 1m step 1s up\n expected_fail_regexp no .*", Said(pattern="no .*")),
        ("eval instant at 0 up\n expect fail", Said()),
        ("eval instant at 0 up\n expect fail msg:no", Said(text="no")),
    ],
)
def test_failures_are_expected_in_the_old_way_and_the_new(text: str, said: Said) -> None:
    """With the message, a pattern, or any."""
    assert _evaluation(text).fails == said


def test_the_old_words_for_annotations_and_order() -> None:
    """They ask for one at least, whatever it says."""
    assert _evaluation("eval_warn instant at 0 up").some_warn
    assert _evaluation("eval_info range from 0 to 1m step 1s up").some_info
    assert _evaluation("eval_ordered instant at 0 up").ordered


def test_an_instant_query_may_answer_a_range_vector_or_a_string() -> None:
    """The range vector's times are said, and the query is asked at their end."""
    found = _evaluation("eval instant at 1m up[1m]\n expect range vector from 10s to 1m step 10s\n up 1 2 3")
    assert (found.is_matrix, found.start_ms, found.end_ms, found.step_ms) == (True, 10_000, 60_000, 10_000)
    assert found.at_ms == 60_000
    assert _evaluation('eval instant at 0 "a"\n expect string `a"`').text == 'a"'


@pytest.mark.parametrize(
    "text",
    [
        "plot up",
        "load",
        "load soon\n up 1",
        "load 1m\n up@st -1s\n down 1",
        "load 1m\n up@st -1s",
        "load 1m\n up@st -1s -1s\n up 1",
        "eval up",
        "eval instant up",
        "eval range from 1m to 0 step 1m up",
        "eval instant at 0 up\n up 1 2",
        "eval instant at 0 up\n expect maybe",
        "eval instant at 0 up\n expect warn\n expect no_warn",
        "eval instant at 0 up\n expect fail\n expect fail",
        "eval instant at 0 up\n expect string up",
        "eval instant at 0 up\n expect range vector from 0",
        "eval_ordered range from 0 to 1m step 1m up",
    ],
)
def test_what_is_no_command_is_refused_by_its_line(text: str) -> None:
    """Wherever it stands."""
    with pytest.raises(ScriptError, match="line 3"):
        read_script(f"clear\n\n{text}")
