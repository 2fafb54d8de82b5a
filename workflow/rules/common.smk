"""The campaign, and the few functions that turn it into jobs."""

from functools import cache
from pathlib import Path
from shlex import quote

from snakemake.exceptions import WorkflowError

from saltern.config import campaign_from, expected_memory_mb
from saltern.errors import UserError
from saltern.engines import openmm
from saltern.systems import contents_of, problems, too_large


report: "../report/workflow.rst"


if not config:
    raise WorkflowError("no campaign: add --configfile, for example --configfile config/demo.yaml")

try:
    CAMPAIGN = campaign_from(
        config,
        workflow.configfiles[-1] if workflow.configfiles else "--config",
        [problems, openmm.problems, too_large],
    )
except UserError as error:
    raise WorkflowError("\n".join(error.lines)) from None

SYSTEMS = CAMPAIGN.expanded()
LEVELS = {level.name: level for level in CAMPAIGN.levels}
LABELLED_AT = {level.name: CAMPAIGN.labelled_at(level).name for level in CAMPAIGN.levels}
ON = {level.name: CAMPAIGN.systems_of(level) for level in CAMPAIGN.levels}
PUBLISHED = {name: level.published for name, level in LEVELS.items() if level.published}
TRAINED = [name for name, level in LEVELS.items() if level.trained]


def one_of(names):
    """A wildcard's constraint: one of these names, which may be none."""
    return "|".join(names) or "(?!)"


wildcard_constraints:
    campaign=CAMPAIGN.campaign,
    level=one_of(LEVELS),
    system=r"[A-Za-z0-9][A-Za-z0-9.-]*",
    batch=r"b\d+",
    chunk=r"r\d+",
    group=r"[A-Za-z0-9][A-Za-z0-9.-]*(_[0-9a-f]{6})?",
    state=r"[A-Za-z0-9][A-Za-z0-9.-]*(_[0-9a-f]{6})?",
    member=r"m\d+",


# where the label store lies is no part of a job: moving it makes nothing anew. And glibc gives big blocks back to the
# system at every free; keeping them saves a third of the time of small networks
shell.prefix(
    f"export SALTERN_LABEL_STORE={quote(CAMPAIGN.label_store)};"
    " export MALLOC_MMAP_THRESHOLD_=34359738368 MALLOC_TRIM_THRESHOLD_=34359738368; set -euo pipefail; "
)


@cache
def specification(level, stage):
    """What a stage of a level is told."""
    return LEVELS[level].spec(stage)


def spec(stage):
    """What a stage is told, as a function of the level."""
    return lambda wildcards: specification(wildcards.level, stage)


@cache
def states(level):
    """What is simulated at a level, by identifier: a system and its temperature."""
    return {
        name: (id, kelvin) for id, system in ON[level].items() for name, kelvin in LEVELS[level].states(system).items()
    }


@cache
def batches(level, system):
    """Label batches of a system by name, each with its frames."""
    return LEVELS[level].batches(contents_of(SYSTEMS[system]).atoms)


@cache
def groups(level):
    """What is simulated side by side at a level, by the name of the group."""
    return LEVELS[level].groups(list(states(level)))


@cache
def group_of(level):
    """The group of everything that is simulated at a level."""
    return {state: group for group, members in groups(level).items() for state in members}


def simulations(pattern, of=lambda wildcards: [wildcards.state]):
    """What the jobs that simulate some states make, by default those of a job's own state."""
    return lambda wildcards: [
        path
        for state in of(wildcards)
        for path in expand(
            pattern,
            group=group_of(wildcards.level)[state],
            chunk=LEVELS[wildcards.level].chunks(),
            campaign=wildcards.campaign,
            level=wildcards.level,
            state=state,
        )
    ]


def all_simulations(pattern):
    """What all jobs that simulate at a job's level make."""
    return simulations(pattern, lambda wildcards: group_of(wildcards.level))


def beginnings(wildcards, input):
    """The options that say what a job simulates: candidates to start from, and a temperature."""
    kelvins = [states(wildcards.level)[state][1] for state in groups(wildcards.level)[wildcards.group]]
    return [f"--start {file} {kelvin!r}" for file, kelvin in zip(input.candidates, kelvins, strict=True)]


def replicas(wildcards):
    """What says which replicas a job simulates and, where it is not the first, which member drives them."""
    level = LEVELS[wildcards.level]
    driver = level.drivers()[wildcards.chunk]
    return interval(level.chunks()[wildcards.chunk]) + (f" --driver {driver}" if driver else "")


def temperatures():
    """The option that says where systems were simulated at other temperatures than their own."""
    swept = {name: level.simulate.temperatures for name, level in LEVELS.items() if level.simulate.temperatures}
    told = [f"{name}={','.join(f'{kelvin:.10g}' for kelvin in values)}" for name, values in swept.items()]
    return " ".join(["--temperatures", *told]) if told else ""


def label_memory(wildcards, attempt):
    """Memory of a label job (MB); more with every retry."""
    atoms = contents_of(SYSTEMS[wildcards.system]).atoms
    return expected_memory_mb(LEVELS[wildcards.level].teacher, atoms) * attempt


def label_runtime(wildcards, attempt):
    """Time of a label job (minutes): that of a simulation where it is one; more with every retry."""
    return (1440 if LEVELS[wildcards.level].moving else 240) * attempt


def interval(numbers):
    """Consecutive numbers as the A:B of the command line."""
    return f"{numbers.start}:{numbers.stop}"


def growing(first):
    """A resource that grows with every retry."""
    return lambda wildcards, attempt: first * attempt


def processes(wildcards):
    """How many processes share the training of one member."""
    return LEVELS[wildcards.level].train.processes


def shared(value):
    """A resource of a training that several processes share, and of no other."""
    return lambda wildcards: value if processes(wildcards) > 1 else None


def environment(name):
    """The file of an environment."""
    return f"{workflow.basedir}/envs/{name}.yaml"


def sample_environment(wildcards):
    """That of the student that samples, where one of this campaign does."""
    above = CAMPAIGN.sampling(LEVELS[wildcards.level])
    return environment(above.student.environment if above else "core")


def label_environment(wildcards):
    """CP2K, a universal model and students of other packages need more than the core environment."""
    level = LEVELS[wildcards.level]
    above = CAMPAIGN.above(level)
    own = level.teacher.engine if level.teacher.engine in ("cp2k", "sevennet") else "core"
    return environment(above.student.environment if above else own)


def student_environment(wildcards):
    """Networks of other packages are trained and used in environments of their own."""
    return environment(LEVELS[wildcards.level].student.environment)


@cache
def label_store():
    """The label store, or None when nothing was ever recalled in it; most campaigns need not open it."""
    if not Path(CAMPAIGN.label_store, "recalls").is_dir():
        return None
    from saltern.store import LabelStore

    return LabelStore(CAMPAIGN.label_store)


def recalls(wildcards):
    """Recalls that touch the labels of a batch; newer than the batch, they make it ask again."""
    store = label_store()
    batch = "results/{campaign}/{level}/labels/{system}/{batch}.h5".format(**wildcards)
    return store.recalls_of(batch) if store else []


def labelled(wildcards):
    """The systems of a job's level that its teacher is asked about."""
    return [name for name, system in ON[wildcards.level].items() if system.labelled]


def where_labelled(pattern, systems):
    """Files of some systems at the level where the labels of a job's level are made."""
    return lambda wildcards: expand(
        pattern, source=LABELLED_AT[wildcards.level], system=systems(wildcards), allow_missing=True
    )


def labels_of(level, system):
    """The labels of a system that are made at a level."""
    pattern = "results/{campaign}/{level}/labels/{system}/{batch}.h5"
    return expand(pattern, campaign=CAMPAIGN.campaign, level=level, system=system, batch=batches(level, system))


def audit_options(wildcards):
    """What the audit is told of which ions touch."""
    contact = LEVELS[wildcards.level].observe.contact_A
    return "" if contact is None else f"--contact {contact:.10g}"


def potentials_of(level):
    """The potentials that a level has learned."""
    pattern = "results/{campaign}/{level}/potentials/{member}.safetensors"
    return expand(pattern, campaign=CAMPAIGN.campaign, level=level.name, member=level.members())


def committee(wildcards):
    """The potentials of a job's own level."""
    return potentials_of(LEVELS[wildcards.level])


def teaching(wildcards):
    """The potentials of the level above, where that is the teacher."""
    above = CAMPAIGN.above(LEVELS[wildcards.level])
    return potentials_of(above) if above else []


def starting(wildcards):
    """The potential that the training of a job's member starts from: of a level above, the one of the same number."""
    above = CAMPAIGN.starting(LEVELS[wildcards.level])
    if above is None:
        return []
    files = potentials_of(above)
    return files[LEVELS[wildcards.level].members()[wildcards.member] % len(files)]


def simulated(wildcards):
    """What the potential that the training of a job's member starts from has simulated, where that is learned from."""
    level = LEVELS[wildcards.level]
    above = CAMPAIGN.starting(level)
    if above is None or not level.train.compares:
        return []
    own = level.members()[wildcards.member]
    return expand(
        "results/{campaign}/{level}/trajectories/{group}/{chunk}",
        campaign=wildcards.campaign,
        level=above.name,
        group=groups(above.name),
        chunk=[chunk for chunk, driver in above.drivers().items() if driver == own],
    )


def universal(wildcards):
    """The file of another package that the training of a job's level starts from, where there is one."""
    return [file for file in [LEVELS[wildcards.level].student.checkpoint] if file]


def sampling(wildcards):
    """The potentials that make the candidate frames of a job's level, where potentials do."""
    level = LEVELS[wildcards.level]
    above = CAMPAIGN.sampling(level)
    return potentials_of(above) if above else [file for file in [level.sample.potential] if file]
