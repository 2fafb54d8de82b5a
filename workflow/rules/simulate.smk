rule simulate:
    """Molecular dynamics of some replicas of one system with the trained committee."""
    input:
        candidates="results/{campaign}/{level}/candidates/{system}.h5",
        potentials=committee,
    output:
        "results/{campaign}/{level}/trajectories/{system}/{chunk}.h5",
    log:
        "results/{campaign}/{level}/logs/simulate/{system}/{chunk}.log",
    benchmark:
        "results/{campaign}/{level}/cost/simulate/{system}/{chunk}.tsv"
    conda:
        student_environment
    resources:
        mem_mb=growing(4000),
        runtime=growing(1440),
    params:
        replicas=lambda wildcards: interval(LEVELS[wildcards.level].chunks()[wildcards.chunk]),
        spec=spec("simulate"),
    shell:
        "saltern simulate {input.candidates} {input.potentials} {output} --replicas {params.replicas}"
        " --spec {params.spec:q} 2>&1 | tee {log}"
