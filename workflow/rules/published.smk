rule published_dataset:
    """The published release, whose every byte must be what it was."""
    input:
        lambda wildcards: PUBLISHED[wildcards.level].dataset,
    output:
        directory("results/{campaign}/{level}/dataset"),
    log:
        "results/{campaign}/{level}/logs/published.log",
    wildcard_constraints:
        level=one_of(PUBLISHED),
    conda:
        "../../envs/core.yaml"
    shell:
        "(saltern dataset verify {input} && cp --recursive {input} {output}) 2>&1 | tee {log}"


rule published_potential:
    """One committee member that is there already."""
    input:
        lambda wildcards: PUBLISHED[wildcards.level].potentials[LEVELS[wildcards.level].members()[wildcards.member]],
    output:
        "results/{campaign}/{level}/potentials/{member}.safetensors",
    log:
        "results/{campaign}/{level}/logs/published/{member}.log",
    wildcard_constraints:
        level=one_of(name for name in LEVELS if name not in TRAINED),
    localrule: True
    conda:
        "../../envs/core.yaml"
    shell:
        "cp {input} {output} 2>&1 | tee {log}"
