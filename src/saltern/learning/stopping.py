"""When training ends before its schedule, and which weights are kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from saltern.config import TrainConfig


class Best:
    """The averaged weights that did best on the validation frames, where `patience` asks for them.

    Attributes:
        epoch: after which the weights that are kept were as they are; without patience the last one.
        weights: them, or None for those at the end.
        ended: why training ends now; empty while it goes on.
    """

    def __init__(self, config: TrainConfig) -> None:
        self._config = config
        self._error, self._in_vain = math.inf, 0
        self.epoch = 0
        self.weights: list[Tensor] | None = None
        self.ended = ""

    def judge(self, epoch: int, errors: tuple[float | None, float | None], weights: Sequence[Tensor]) -> None:
        """Take note of an epoch.

        Args:
            epoch: number of epochs done.
            errors: root mean square errors of forces (meV/Å) and energies per atom (meV) on the validation frames,
                None where they were not evaluated.
            weights: the averaged ones.
        """
        patience = self._config.patience
        if patience is None:
            self.epoch = epoch
        elif errors[0] is not None:
            error = self._weighed(errors[0], errors[1] or 0.0)
            if error < self._error:
                self._error, self._in_vain, self.epoch = error, 0, epoch
                self.weights = [weight.clone() for weight in weights]
            else:
                self._in_vain += 1
            if self._in_vain >= patience and epoch < self._config.epochs:
                self.ended = f"not better in {patience} validations"

    def _weighed(self, force: float, energy: float) -> float:
        """Both errors as the loss weighs them."""
        return self._config.force_weight * force**2 + self._config.energy_weight * energy**2

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"error": self._error, "in_vain": self._in_vain, "epoch": self.epoch, "weights": self.weights}

    def restore(self, state: dict[str, Any], like: Sequence[Tensor]) -> None:
        """Take up what a checkpoint kept, on the device of `like`."""
        self._error, self._in_vain, self.epoch = state["error"], state["in_vain"], state["epoch"]
        kept = state["weights"]
        self.weights = kept and [weight.to(other.device) for weight, other in zip(kept, like, strict=True)]
