"""The campaign, and the few functions that turn it into jobs."""

from snakemake.exceptions import WorkflowError

from saltern.config import campaign_from
from saltern.errors import UserError
from saltern.engines import openmm
from saltern.store import LabelStore
from saltern.systems import problems


report: "../report/workflow.rst"


if not config:
    raise WorkflowError("no campaign: add --configfile, for example --configfile config/demo.yaml")

try:
    CAMPAIGN = campaign_from(
        config, workflow.configfiles[-1] if workflow.configfiles else "--config", [problems, openmm.problems]
    )
except UserError as error:
    raise WorkflowError("\n".join(error.lines)) from None

SYSTEMS = CAMPAIGN.expanded()
LABEL_STORE = LabelStore(CAMPAIGN.label_store)
LEVELS = {level.name: level for level in CAMPAIGN.levels}


wildcard_constraints:
    campaign=CAMPAIGN.campaign,
    level="|".join(LEVELS),
    system="|".join(SYSTEMS),
    batch=r"b\d+",
    chunk=r"r\d+",
    member=r"m\d+",


# glibc gives big blocks back to the system at every free; keeping them saves a third of the time of small networks
shell.prefix("export MALLOC_MMAP_THRESHOLD_=34359738368 MALLOC_TRIM_THRESHOLD_=34359738368; set -euo pipefail; ")


def spec(stage):
    """What a stage is told, as a function of the level."""
    return lambda wildcards: LEVELS[wildcards.level].spec(stage)


def interval(numbers):
    """Consecutive numbers as the A:B of the command line."""
    return f"{numbers.start}:{numbers.stop}"


def growing(first):
    """A resource that grows with every retry."""
    return lambda wildcards, attempt: first * attempt


def label_environment(wildcards):
    """Only CP2K needs more than the core environment."""
    name = "cp2k" if LEVELS[wildcards.level].teacher.engine == "cp2k" else "core"
    return f"{workflow.basedir}/envs/{name}.yaml"


def recalls(wildcards):
    """Recalls that touch the labels of a batch; newer than the batch, they make it ask again."""
    return LABEL_STORE.recalls_of("results/{campaign}/{level}/labels/{system}/{batch}.h5".format(**wildcards))


def for_systems(pattern):
    """Files of every system of the campaign."""
    return lambda wildcards: expand(pattern, system=SYSTEMS, allow_missing=True)


def committee(wildcards):
    """The potentials of a level."""
    pattern = "results/{campaign}/{level}/potentials/{member}.safetensors"
    return expand(pattern, member=LEVELS[wildcards.level].members(), allow_missing=True)
