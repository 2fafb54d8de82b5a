rule simulate:
    """Molecular dynamics of some replicas of one system at one temperature with the trained committee."""
    input:
        candidates=where_labelled(
            "results/{campaign}/{source}/candidates/{system}.h5",
            lambda wildcards: states(wildcards.level)[wildcards.state][0],
        ),
        potentials=committee,
    output:
        "results/{campaign}/{level}/trajectories/{state}/{chunk}.h5",
    log:
        "results/{campaign}/{level}/logs/simulate/{state}/{chunk}.log",
    benchmark:
        "results/{campaign}/{level}/cost/simulate/{state}/{chunk}.tsv"
    conda:
        student_environment
    resources:
        mem_mb=growing(4000),
        runtime=growing(1440),
    params:
        replicas=lambda wildcards: interval(LEVELS[wildcards.level].chunks()[wildcards.chunk]),
        temperature=temperature,
        spec=spec("simulate"),
    shell:
        "saltern simulate {input.candidates} {input.potentials} {output} --replicas {params.replicas}"
        " {params.temperature} --spec {params.spec:q} 2>&1 | tee {log}"
