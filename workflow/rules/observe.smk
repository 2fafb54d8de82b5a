rule observe:
    """Properties of one system, with error bars, from all its replicas."""
    input:
        lambda wildcards: expand(
            "results/{campaign}/{level}/trajectories/{system}/{chunk}.h5",
            chunk=LEVELS[wildcards.level].chunks(),
            allow_missing=True,
        ),
    output:
        "results/{campaign}/{level}/properties/{system}.json",
    log:
        "results/{campaign}/{level}/logs/observe/{system}.log",
    benchmark:
        "results/{campaign}/{level}/cost/observe/{system}.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        spec=spec("observe"),
    shell:
        "saltern observe {input} {output} --spec {params.spec:q} 2>&1 | tee {log}"
