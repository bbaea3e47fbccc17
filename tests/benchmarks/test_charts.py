"""Charts: numbers at the axes, and marks of doubtful figures."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from benchmarks.charts import draw_line, plain_ticks, scale_up


@pytest.mark.parametrize(
    ("lowest", "highest", "ticks"),
    [
        (18.5, 1422, [10, 20, 50, 100, 200, 500, 1000, 2000]),
        (350, 400, [200, 500]),
        (2, 5, [1, 2, 5, 10]),
        (1, 1, [0.5, 1, 2]),
        (0.3, 4000, [0.1, 1, 10, 100, 1000, 10_000]),
    ],
)
def test_plain_numbers_are_around_all_values(lowest: float, highest: float, ticks: list[float]) -> None:
    assert plain_ticks(lowest, highest) == ticks


def test_an_axis_says_its_numbers_in_full() -> None:
    panel = Figure().subplots()
    scale_up(panel, [0, 40, 3500])
    assert [each.get_text() for each in panel.get_yticklabels()][-2:] == ["2,000", "5,000"]
    assert panel.get_ylim() == (20, 5000)
    scale_up(panel, [0])


def test_doubtful_points_are_hollow() -> None:
    panel = Figure().subplots()
    draw_line(panel, [(8, 20.0, True), (1, 10.0, False), (32, 5.0, True)], "served", "C0", "--", "s")
    line, *hollow = panel.lines
    assert np.array_equal(line.get_xydata(), [(1, 10), (8, 20), (32, 5)])
    assert [each.get_markerfacecolor() for each in hollow] == ["white", "white"]
    assert np.array_equal(np.concatenate([each.get_xydata() for each in hollow]), [(8, 20), (32, 5)])
    assert {each.get_marker() for each in panel.lines} == {"s"}
