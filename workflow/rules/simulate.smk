rule simulate:
    """Molecular dynamics of some replicas of systems at temperatures, side by side, with the trained committee."""
    input:
        candidates=where_labelled(
            "results/{campaign}/{source}/candidates/{system}.h5",
            lambda wildcards: [
                states(wildcards.level)[state][0] for state in groups(wildcards.level)[wildcards.group]
            ],
        ),
        potentials=committee,
    output:
        directory("results/{campaign}/{level}/trajectories/{group}/{chunk}"),
    log:
        "results/{campaign}/{level}/logs/simulate/{group}/{chunk}.log",
    benchmark:
        "results/{campaign}/{level}/cost/simulate/{group}/{chunk}.tsv"
    conda:
        student_environment
    resources:
        mem_mb=growing(4000),
        runtime=growing(1440),
    params:
        replicas=replicas,
        beginnings=beginnings,
        spec=spec("simulate"),
    shell:
        "saltern simulate {input.potentials} {output} {params.beginnings} --replicas {params.replicas}"
        " --spec {params.spec:q} 2>&1 | tee {log}"
