"""The racer on clocks that are made up: rounds, ratios, threads, peak memory, and the form that suits a core."""

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from compare import timing


class Clock:
    """Time that passes only where a call says so."""

    def __init__(self):
        self.now, self.order = 0.0, []

    def __call__(self):
        return self.now

    def takes(self, name, *seconds):
        """A call that takes these times in turn, and the last one from then on."""
        left = list(seconds)

        def call():
            self.order.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call


def test_ratio_is_the_median_of_the_rounds_ratios_with_quartiles():
    # 1/1, 4/2, 9/3, 16/4, 25/5 are 1 2 3 4 5
    assert timing.ratio([1, 4, 9, 16, 25], [1, 2, 3, 4, 5]) == timing.Ratio(median=3, low=2, high=4)


def test_a_machine_that_slows_down_does_not_move_the_ratio():
    drift = np.array([1.0, 1.7, 5.0, 0.3, 2.0])
    assert timing.ratio(3 * drift, 6 * drift) == timing.Ratio(0.5, 0.5, 0.5)


def test_race_turns_the_order_about_and_times_each_entry():
    clock = Clock()
    calls = {"a": clock.takes("a", 2.0), "b": clock.takes("b", 3.0)}
    effort = timing.Effort(budget_s=1e9, sample_s=1.0, least=1, most=3)
    assert timing.race(calls, effort, clock=clock) == {"a": [2, 2, 2], "b": [3, 3, 3]}
    assert "".join(clock.order) == "aaabbb" + "ab" + "ba" + "ab"  # warm first, then rounds


def test_a_short_call_is_repeated_until_the_sample_is_long_enough():
    clock = Clock()
    call = clock.takes("a", 0.25)
    times = timing.race({"a": call}, timing.Effort(1e9, 1.0, 1, 2), clock=clock)
    assert times == {"a": [0.25, 0.25]}
    assert len(clock.order) == timing.WARM_CALLS + 2 * 4  # 4 calls of 0.25 s fill a sample of 1 s


def test_the_budget_ends_a_race_but_not_before_the_least_rounds():
    for budget, rounds in ((0.0, 4), (12.0, 7), (1e9, 9)):
        clock = Clock()
        effort = timing.Effort(budget_s=budget, sample_s=1e-9, least=4, most=9)
        assert len(timing.race({"a": clock.takes("a", 2.0)}, effort, clock=clock)["a"]) == rounds


def test_with_two_threads_workers_settle_and_the_median_is_taken():
    clock, naps = Clock(), []
    # three calls size the race, three warm it up after the nap; of the five timed ones one is disturbed
    call = clock.takes("a", *[1.0] * 3, *[50.0] * 3, 2.0, 2.0, 99.0, 2.0, 2.0)
    times = timing.race({"a": call}, timing.Effort(1e9, 1.0, 1, 1), threads=2, clock=clock, sleep=naps.append)
    assert times == {"a": [2.0]}
    assert naps == [timing.SETTLE_S]


def test_both_libraries_get_equal_threads_and_theirs_back():
    before = torch.get_num_threads()
    with timing.equal_threads(1):
        assert torch.get_num_threads() == 1
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    assert torch.get_num_threads() == before


def test_peak_memory_counts_what_is_held_at_once():
    def two_then_one():
        a, b = np.ones(250_000, np.float32), np.ones(250_000, np.float32)  # 1 MB each
        del a, b
        return np.ones(250_000, np.float32)

    assert timing.numpy_peak_mb(two_then_one) == pytest.approx(2.0, abs=0.01)

    def same_in_torch():
        a, b = torch.ones(250_000), torch.ones(250_000)
        del a, b
        return torch.ones(250_000)

    assert timing.torch_peak_mb(same_in_torch) == pytest.approx(2.0, abs=0.01)


def test_tiles_are_chosen_by_the_core_that_openblas_chose(monkeypatch):
    numpys = {"internal_api": "openblas", "filepath": "/x/numpy.libs/libscipy_openblas.so"}
    others = {"internal_api": "openblas", "filepath": "/x/other/libopenblas.so", "architecture": "SkylakeX"}
    for pools, core in (
        ([numpys | {"architecture": "SkylakeX"}], "SkylakeX"),
        ([others, numpys | {"architecture": "Zen"}], "Zen"),
        ([{"internal_api": "mkl", "filepath": "/x/libmkl.so"}], ""),
    ):
        monkeypatch.setattr(timing, "threadpool_info", lambda pools=pools: pools)
        assert timing.blas_core() == core
        assert timing.linear_form() == ("fused_tiled.Tiled" if core == "SkylakeX" else "fused.Linear")
