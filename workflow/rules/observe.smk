rule audit:
    """Whether there is a crystal in the data, and how far the surroundings of ions in the simulations are from it."""
    input:
        dataset="results/{campaign}/{level}/dataset",
        trajectories=all_simulations("results/{campaign}/{level}/trajectories/{group}/{chunk}"),
    output:
        "results/{campaign}/{level}/audit.txt",
    log:
        "results/{campaign}/{level}/logs/audit.log",
    benchmark:
        "results/{campaign}/{level}/cost/audit.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
    params:
        options=audit_options,
        trajectories=all_simulations("results/{campaign}/{level}/trajectories/{group}/{chunk}/{state}.h5"),
    shell:
        # a crystal in the dataset is a finding, told by exit code 1 as faults are
        "saltern audit {input.dataset} {params.options} --workers {threads} --trajectory {params.trajectories}"
        " > {output} 2> {log} || grep -q 'hold a crystal: ' {output}"


rule observe:
    """Properties of one system at one temperature, with error bars, from all its replicas."""
    input:
        trajectories=simulations("results/{campaign}/{level}/trajectories/{group}/{chunk}"),
        errors="results/{campaign}/{level}/errors.json",
        dataset="results/{campaign}/{level}/dataset",
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
        trajectories=simulations("results/{campaign}/{level}/trajectories/{group}/{chunk}/{state}.h5"),
        spec=spec("observe"),
    shell:
        "saltern observe {params.trajectories} {output} --errors {input.errors} --dataset {input.dataset}"
        " --spec {params.spec:q} 2>&1 | tee {log}"
