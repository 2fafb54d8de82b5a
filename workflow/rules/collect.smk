rule collect:
    """One system's accepted and quarantined frames; its ledger must close."""
    input:
        system="results/{campaign}/systems/{system}.h5",
        labels=lambda wildcards: labels_of(wildcards.level, wildcards.system),
    output:
        directory("results/{campaign}/{level}/collected/{system}"),
    log:
        "results/{campaign}/{level}/logs/collect/{system}.log",
    benchmark:
        "results/{campaign}/{level}/cost/collect/{system}.tsv"
    conda:
        "../../envs/core.yaml"
    params:
        requested=lambda wildcards: LEVELS[wildcards.level].sample.frames,
    shell:
        "saltern collect {input.system} {input.labels} {output} --requested {params.requested} 2>&1 | tee {log}"


rule release:
    """The sealed dataset: shards, index, splits, card, checksums; and what changed since the version before."""
    input:
        where_labelled("results/{campaign}/{source}/collected/{system}", labelled),
    output:
        directory("results/{campaign}/{level}/dataset"),
    log:
        "results/{campaign}/{level}/logs/release.log",
    benchmark:
        "results/{campaign}/{level}/cost/release.tsv"
    wildcard_constraints:
        level=one_of(name for name in LEVELS if name not in PUBLISHED),
    conda:
        "../../envs/core.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        spec=spec("collect"),
        history="results/{campaign}/{level}/versions",
    shell:
        "saltern release {input} {output} --name {wildcards.campaign}-{wildcards.level} --spec {params.spec:q}"
        " --history {params.history} --workers {threads} 2>&1 | tee {log}"
