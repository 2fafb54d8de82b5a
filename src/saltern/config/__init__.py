"""The campaign file: frozen, typed sections that refuse unknown keys."""

from saltern.config.base import Section
from saltern.config.campaign import (
    Campaign,
    CollectSpec,
    LabelSpec,
    Level,
    ObserveSpec,
    Problem,
    SampleSpec,
    SimulateSpec,
    TrainSpec,
)
from saltern.config.load import campaign_from, load_campaign, read_systems_table
from saltern.config.reference import reference
from saltern.config.stages import (
    BaselineConfig,
    CollectConfig,
    Cp2kTeacher,
    LabelConfig,
    ObserveConfig,
    SampleConfig,
    SimulateConfig,
    StudentConfig,
    TbliteTeacher,
    Teacher,
    TrainConfig,
)
from saltern.config.system import System, SystemEntry

__all__ = [
    "BaselineConfig",
    "Campaign",
    "CollectConfig",
    "CollectSpec",
    "Cp2kTeacher",
    "LabelConfig",
    "LabelSpec",
    "Level",
    "ObserveConfig",
    "ObserveSpec",
    "Problem",
    "SampleConfig",
    "SampleSpec",
    "Section",
    "SimulateConfig",
    "SimulateSpec",
    "StudentConfig",
    "System",
    "SystemEntry",
    "TbliteTeacher",
    "Teacher",
    "TrainConfig",
    "TrainSpec",
    "campaign_from",
    "load_campaign",
    "read_systems_table",
    "reference",
]
