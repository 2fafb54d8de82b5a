"""Extended XYZ and a configuration with which NequIP 0.19 trains as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from saltern.store.formats.base import ALONE, Splits, new_folder
from saltern.store.formats.extxyz import ENERGY, FORCES
from saltern.store.formats.trainable import testable, write_trainable
from saltern.store.parallel import Workers

MONITORED = "val0_epoch/weighted_sum"
OUTPUT = "${hydra:runtime.output_dir}"


def export_nequip(splits: Splits, target: Path, about: Mapping[str, Any], workers: Workers = ALONE) -> None:
    """Write the splits as extended XYZ and `nequip.yaml`; in that directory: `nequip-train -cp $PWD -cn nequip`.

    The network and the weights of the loss are those of Zhang et al. (arXiv 2310.12535, Training/l3.yaml): r_max 5,
    3 layers, l_max 2, 16 features, no parity, 100 for forces by element against 1 for the energy an atom.

    Raises:
        UserError: when the target is there already, or 'train' or 'validation' has no frames.
    """
    with new_folder(target, about) as folder:
        contents = write_trainable(splits, folder, target, workers)
        config = _config(contents["train"].shifts(), testable(contents))
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        (folder / "nequip.yaml").write_text(text, encoding="utf-8")


def _config(shifts: Mapping[str, float], has_test: bool) -> dict[str, Any]:
    """The whole configuration; paths are relative to its directory."""
    return {
        "run": ["train", "test"] if has_test else ["train"],
        "cutoff_radius": 5.0,
        "elements": list(shifts),
        "data": _data(has_test),
        "trainer": _trainer(),
        "training_module": _training(shifts),
        "global_options": {"allow_tf32": False},
    }


def _data(has_test: bool) -> dict[str, Any]:
    """Where the frames are, and what their keys mean to NequIP."""
    loader = {"_target_": "torch.utils.data.DataLoader", "batch_size": 5, "num_workers": 0}
    mapper = {"_target_": "nequip.data.transforms.ChemicalSpeciesToAtomTypeMapper", "model_type_names": "${elements}"}
    return {
        "_target_": "nequip.data.datamodule.ASEDataModule",
        "seed": 1,
        "train_file_path": "train.extxyz",
        "val_file_path": "validation.extxyz",
        **({"test_file_path": "test.extxyz", "test_dataloader": {**loader}} if has_test else {}),
        "ase_args": {"format": "extxyz"},
        "key_mapping": {ENERGY: "total_energy", FORCES: "forces"},
        "transforms": [
            mapper,
            {"_target_": "nequip.data.transforms.NeighborListTransform", "r_max": "${cutoff_radius}"},
        ],
        "train_dataloader": {**loader, "shuffle": True},
        "val_dataloader": {**loader},
        "stats_manager": {
            "_target_": "nequip.data.CommonDataStatisticsManager",
            "dataloader_kwargs": {"batch_size": 5},
            "type_names": "${elements}",
        },
    }


def _trainer() -> dict[str, Any]:
    """How long, and what is kept: the best and the last model, in Hydra's output directory."""
    callbacks = "lightning.pytorch.callbacks"
    return {
        "_target_": "lightning.Trainer",
        "accelerator": "auto",
        "devices": 1,
        "max_epochs": 1500,
        "enable_progress_bar": False,
        "logger": {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": OUTPUT},
        "callbacks": [
            {
                "_target_": f"{callbacks}.ModelCheckpoint",
                "monitor": MONITORED,
                "dirpath": OUTPUT,
                "filename": "best",
                "save_last": True,
            },
            {
                "_target_": f"{callbacks}.EarlyStopping",
                "monitor": MONITORED,
                "min_delta": 0.0,
                "patience": 50,
            },
        ],
    }


def _training(shifts: Mapping[str, float]) -> dict[str, Any]:
    """Loss, optimiser and network. All elements count the same in the forces, however few their atoms are."""
    metrics = {
        "_target_": "nequip.train.EnergyForceMetrics",
        "coeffs": {"per_atom_energy_rmse": 1.0, "forces_rmse": 1.0},
    }
    return {
        "_target_": "nequip.train.EMALightningModule",
        "ema_decay": 0.99,
        "loss": {
            "_target_": "nequip.train.EnergyForceLoss",
            "per_atom_energy": True,
            "coeffs": {"total_energy": 1.0, "forces": 100.0},
            "per_type_forces_coeffs": dict.fromkeys(shifts, 1.0),
            "type_names": "${elements}",
        },
        **{f"{stage}_metrics": deepcopy(metrics) for stage in ("train", "val", "test")},
        "optimizer": {"_target_": "torch.optim.Adam", "lr": 0.01},
        "lr_scheduler": {
            "scheduler": {
                "_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau",
                "factor": 0.5,
                "patience": 5,
                "min_lr": 1e-5,
            },
            "monitor": MONITORED,
            "interval": "epoch",
            "frequency": 1,
        },
        "model": _model(shifts),
    }


def _model(shifts: Mapping[str, float]) -> dict[str, Any]:
    """The network, around the mean energy of each element in the training set."""
    return {
        "_target_": "nequip.model.NequIPGNNModel",
        "seed": 1,
        "model_dtype": "float32",
        "type_names": "${elements}",
        "r_max": "${cutoff_radius}",
        "num_bessels": 8,
        "polynomial_cutoff_p": 6,
        "num_layers": 3,
        "l_max": 2,
        "parity": False,
        "num_features": 16,
        "radial_mlp_depth": 2,
        "radial_mlp_width": 64,
        "avg_num_neighbors": "${training_data_stats:num_neighbors_mean}",
        "per_type_energy_scales": "${training_data_stats:per_type_forces_rms}",
        "per_type_energy_shifts": dict(shifts),
    }
