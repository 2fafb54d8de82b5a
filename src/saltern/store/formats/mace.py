"""Extended XYZ and a configuration with which MACE 0.3.16 trains as it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from saltern.store.formats.base import ALONE, Splits, new_folder
from saltern.store.formats.extxyz import ENERGY, FORCES, STRESS
from saltern.store.formats.trainable import testable, write_trainable
from saltern.store.parallel import Workers


def export_mace(splits: Splits, target: Path, about: Mapping[str, Any], workers: Workers = ALONE) -> None:
    """Write the splits as extended XYZ and `mace.yaml`; in that directory: `mace_run_train --config mace.yaml`.

    The reference energies of the atoms are MACE's least squares over the training set (E0s: average). The stress is
    read; as the other weights it is in the loss only where one gives it a weight (loss: stress).

    Raises:
        UserError: when the target is there already, or 'train' or 'validation' has no frames.
    """
    with new_folder(target, about) as folder:
        contents = write_trainable(splits, folder, target, workers)
        config = _config(re.sub(r"[^\w.-]+", "-", str(about.get("name", "saltern"))), testable(contents))
        (folder / "mace.yaml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _config(name: str, has_test: bool) -> dict[str, Any]:
    """The whole configuration; paths are relative to its directory."""
    return {
        "name": name,
        "seed": 1,
        "train_file": "train.extxyz",
        "valid_file": "validation.extxyz",
        **({"test_file": "test.extxyz"} if has_test else {}),
        "energy_key": ENERGY,
        "forces_key": FORCES,
        "stress_key": STRESS,
        "E0s": "average",
        "model": "MACE",
        "r_max": 5.0,
        "num_interactions": 2,
        "num_channels": 64,
        "max_L": 1,
        "correlation": 3,
        "loss": "weighted",
        "energy_weight": 1.0,
        "forces_weight": 100.0,
        "batch_size": 5,
        "valid_batch_size": 5,
        "max_num_epochs": 500,
        "patience": 50,
        "ema": True,
        "ema_decay": 0.99,
        "error_table": "PerAtomRMSE",
        "default_dtype": "float64",
        "device": "cpu",
    }
