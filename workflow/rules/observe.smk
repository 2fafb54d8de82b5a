rule observe:
    """Properties of one system at one temperature, with error bars, from all its replicas."""
    input:
        trajectories=lambda wildcards: expand(
            "results/{campaign}/{level}/trajectories/{state}/{chunk}.h5",
            chunk=LEVELS[wildcards.level].chunks(),
            allow_missing=True,
        ),
        errors="results/{campaign}/{level}/errors.json",
        teacher=liquid_of_teacher,
    output:
        "results/{campaign}/{level}/properties/{state}.json",
    log:
        "results/{campaign}/{level}/logs/observe/{state}.log",
    benchmark:
        "results/{campaign}/{level}/cost/observe/{state}.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        spec=spec("observe"),
    shell:
        "saltern observe {input.trajectories} {output} --errors {input.errors} --teacher {input.teacher:q}"
        " --spec {params.spec:q} 2>&1 | tee {log}"
