"""Checkpoints of MACE, such as MACE-MP-0: what they hold is read, and nothing in them is run.

Such a file is a pickle of Python objects, which can name any function to be called while it is read. Here tensors and
containers are what they are, and everything else is an empty module of the name that the file gives it. Shape and
weights are then taken from those, and the network is made by the installed package.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from saltern.errors import UserError
from saltern.potentials.backends.base import check_known, environment_kept

# as in `mace`
with environment_kept():
    from mace.tools.finetuning_utils import load_foundations_elements
    from mace.tools.scripts_utils import extract_config_mace_model
    from mace.tools.utils import AtomicNumberTable

_PLAIN = {
    "__builtin__": {"set", "slice"},
    "_codecs": {"encode"},
    "builtins": {"set", "slice"},
    "collections": {"OrderedDict"},
    "e3nn.o3._irreps": {"Irrep", "Irreps", "_MulIr"},
    "numpy": {"dtype"},
    "numpy.core.multiarray": {"scalar"},
    "numpy._core.multiarray": {"scalar"},
    "torch": {"Size", "device", "float32", "float64", "int32", "int64"},
    "torch._utils": {"_rebuild_parameter", "_rebuild_tensor_v2"},
    "torch.nn.modules.container": {"ModuleList", "ParameterList"},
}
"""What stands for itself, by module: it holds data and calls nothing that a file names."""

_AS_THEY_ARE = (
    "r_max", "num_bessel", "num_polynomial_cutoff", "max_ell", "num_interactions", "correlation", "radial_type",
    "radial_MLP", "distance_transform", "pair_repulsion", "apply_cutoff", "use_reduced_cg", "use_so3",
    "use_agnostic_product", "use_last_readout_only", "use_edge_irreps_first",
)  # fmt: skip
_BY_NAME = ("interaction_cls", "interaction_cls_first", "readout_cls", "gate")
IRREPS = ("hidden_irreps", "MLP_irreps", "edge_irreps")
"""What MACE's builder is told, and a saved potential with it."""

_OTHER = ("embedding_specs", "use_embedding_readout", "cueq_config")
"""What it is told of models that know charges or spins, or of kernels for GPUs."""


class _StandIn(nn.Module):
    """For a class or function of a checkpoint: has what it was given, and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()


@cache
def _stand_in(name: str) -> type[_StandIn]:
    return type(name, (_StandIn,), {})


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return super().find_class(module, name) if name in _PLAIN.get(module, ()) else _stand_in(name)


def read(path: Path) -> Any:
    """The model that a checkpoint holds, as stand-ins with its parameters, buffers and attributes.

    Raises:
        UserError: when it holds no `ScaleShiftMACE`, the class of MACE's universal models.
    """
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("no archive as torch.save makes it")
        # torch asks for a module like pickle, of which it uses the class alone
        like_pickle = SimpleNamespace(__name__=__name__, Unpickler=_Unpickler)
        found = torch.load(path, "cpu", pickle_module=like_pickle, weights_only=False)
    except Exception as error:  # a damaged pickle raises what it likes
        raise UserError(f"student.start: {path}: not a checkpoint of MACE ({error})") from error
    kind = type(found).__name__
    if kind != "ScaleShiftMACE":
        raise UserError(f"student.start: {path} holds {kind}; allowed: ScaleShiftMACE, a whole model of MACE")
    return found


def shape_of(model: Any, path: Path) -> dict[str, Any]:
    """What MACE's builder was told of a model, as JSON has it.

    Raises:
        UserError: for a model of several levels of theory (heads), or one that knows charges or spins.
    """
    told = extract_config_mace_model(model)
    if len(told["heads"]) > 1:
        heads = ", ".join(told["heads"])
        raise UserError(f"student.start: {path} has the heads {heads}; allowed: one, which mace_select_head leaves")
    if unknown := [name for name in _OTHER if told[name]]:
        raise UserError(f"student.start: {path} has {', '.join(unknown)}; allowed: a model of positions alone")
    return {
        **{name: told[name] for name in _AS_THEY_ARE},
        # one layer alone has a readout without a gate
        **{name: told[name] and told[name].__name__ for name in _BY_NAME},
        **{name: told[name] and str(told[name]) for name in IRREPS},
        "avg_num_neighbors": float(told["avg_num_neighbors"]),
        "atomic_inter_scale": float(told["atomic_inter_scale"].item()),
        "atomic_inter_shift": float(told["atomic_inter_shift"].item()),
    }


def load(network: Any, model: Any, species: Sequence[int], path: Path) -> None:
    """Give a network of some elements the weights that a model of more has for them.

    Args:
        network: of the model's shape, made by the installed package.
        model: what `read` gave.
        species: atomic numbers of the network, ascending.
        path: of the checkpoint, for messages.

    Raises:
        UserError: when the model does not know an element, or the package that made it had other constants.
    """
    check_known(str(path), model.atomic_numbers.tolist(), species)
    theirs, fixed = dict(model.named_buffers()), {name: own.clone() for name, own in network.named_buffers()}
    for name, own in fixed.items():
        other = theirs.get(name)
        if other is None or other.shape != own.shape:
            continue
        alike = torch.isclose(own.double(), other.double(), atol=1e-6)
        # tables of them know all elements, and that of ASE was changed for some
        if not alike[list(species) if name.endswith("covalent_radii") else ...].all():
            raise UserError(f"student.start: {path}: {name} is not that of the installed mace-torch; allowed: its own")
    orders = network.products[0].linear.irreps_out.lmax
    load_foundations_elements(network, model, AtomicNumberTable(list(species)), load_readout=True, max_L=orders)
    for name, own in fixed.items():
        # to the bit as they will be where the potential is read
        owner, _, attribute = name.rpartition(".")
        setattr(network.get_submodule(owner), attribute, own)
