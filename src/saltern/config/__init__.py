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
from saltern.config.costs import JOB_OVERHEAD_S, expected_memory_mb, expected_seconds, frames_per_job
from saltern.config.limits import LimitsConfig
from saltern.config.load import campaign_from, load_campaign, read_systems_table, refuse
from saltern.config.moving import BiasConfig, LevelTeacher, SettledConfig
from saltern.config.reference import reference
from saltern.config.size import Box, Size, exceeded, label_units, shared_size, system_size, total
from saltern.config.stages import (
    BaselineConfig,
    CollectConfig,
    Cp2kTeacher,
    LabelConfig,
    ObserveConfig,
    OpenmmTeacher,
    SampleConfig,
    SevennetTeacher,
    SimulateConfig,
    StudentConfig,
    TbliteTeacher,
    Teacher,
    TrainConfig,
)
from saltern.config.system import USES, SeedCrystal, System, SystemEntry, state_id

__all__ = [
    "JOB_OVERHEAD_S",
    "USES",
    "BaselineConfig",
    "BiasConfig",
    "Box",
    "Campaign",
    "CollectConfig",
    "CollectSpec",
    "Cp2kTeacher",
    "LabelConfig",
    "LabelSpec",
    "Level",
    "LevelTeacher",
    "LimitsConfig",
    "ObserveConfig",
    "ObserveSpec",
    "OpenmmTeacher",
    "Problem",
    "SampleConfig",
    "SampleSpec",
    "Section",
    "SeedCrystal",
    "SettledConfig",
    "SevennetTeacher",
    "SimulateConfig",
    "SimulateSpec",
    "Size",
    "StudentConfig",
    "System",
    "SystemEntry",
    "TbliteTeacher",
    "Teacher",
    "TrainConfig",
    "TrainSpec",
    "campaign_from",
    "exceeded",
    "expected_memory_mb",
    "expected_seconds",
    "frames_per_job",
    "label_units",
    "load_campaign",
    "read_systems_table",
    "reference",
    "refuse",
    "shared_size",
    "state_id",
    "system_size",
    "total",
]
