"""When training ends before its schedule, and what is kept then."""

import math

import torch

from saltern.config import TrainConfig
from saltern.learning.stopping import Best

NAN = math.nan


def judged(errors: list[float | None], **settings: object) -> tuple[int, Best]:
    """Epochs done of twenty, with these force errors."""
    best = Best(TrainConfig.model_validate({"epochs": 20, **settings}))
    for epoch, error in enumerate(errors, 1):
        best.judge(epoch, (error, None), [torch.tensor([float(epoch)])])
        if best.ended:
            return epoch, best
    return len(errors), best


def test_it_ends_when_patience_does() -> None:
    done, best = judged([9, 8, None, 8, 7, 7.5, None, 7.1, 7.2, 1], patience=3)
    assert (done, best.epoch, best.weights) == (9, 5, [torch.tensor([5.0])])
    assert best.ended == "not better in 3 validations"


def test_without_patience_the_last_epoch_is_kept() -> None:
    done, best = judged([1, 2, 3, 4])
    assert (done, best.epoch, best.weights, best.ended) == (4, 4, None, "")


def test_a_schedule_that_is_over_has_not_ended_early_but_keeps_its_best() -> None:
    done, best = judged([3.0] * 10 + [2.0] + [3.0] * 9, patience=9)
    assert done == 10, "nine after the first"
    done, best = judged([3.0] * 9 + [2.0] + [3.0] * 10, patience=10)
    assert (done, best.epoch, best.ended) == (20, 10, "")


def test_what_is_not_a_number_is_no_improvement() -> None:
    done, best = judged([5, NAN, NAN], patience=2)
    assert (done, best.epoch) == (3, 1)


def test_errors_are_weighed_as_in_the_loss() -> None:
    config = TrainConfig(epochs=9, patience=1, force_weight=1.0, energy_weight=4.0)
    best = Best(config)
    for epoch, errors in enumerate([(3.0, 4.0), (7.9, 0.0), (8.5, 0.3)], 1):
        best.judge(epoch, errors, [])
    assert best.epoch == 2
    assert best.ended
