rule train:
    """One committee member; resumes from its checkpoint after a kill."""
    input:
        dataset="results/{campaign}/{level}/dataset",
        start=starting,
        simulated=simulated,
        universal=universal,
    output:
        potential="results/{campaign}/{level}/potentials/{member}.safetensors",
        curve=report(
            "results/{campaign}/{level}/potentials/{member}.csv",
            caption="../report/curve.rst",
            category="Training",
            labels={"level": "{level}", "member": "{member}"},
        ),
    log:
        "results/{campaign}/{level}/logs/train/{member}.log",
    benchmark:
        "results/{campaign}/{level}/cost/train/{member}.tsv"
    wildcard_constraints:
        level=one_of(TRAINED),
    conda:
        student_environment
    threads: processes
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt * processes(wildcards),
        runtime=growing(1440),
        # in a SLURM job saltern itself calls srun for several tasks; "mpi" keeps the plugin from doing so
        tasks=processes,
        mpi=shared("srun"),
        nodes=shared(1),
        cpus_per_task=lambda wildcards, threads: max(1, threads // processes(wildcards)),
        # or the plugin would take tasks for those of each GPU
        tasks_per_gpu=0,
    params:
        number=lambda wildcards: LEVELS[wildcards.level].members()[wildcards.member],
        spec=spec("train"),
    shell:
        "saltern train {input.dataset} {output.potential} {output.curve} --member {params.number}"
        " --processes {resources.tasks} --start {input.start:q}"
        " --simulated {input.simulated:q} --spec {params.spec:q} 2>&1 | tee {log}"


rule evaluate:
    """Errors on the frames held out as test."""
    input:
        dataset="results/{campaign}/{level}/dataset",
        potentials=committee,
    output:
        "results/{campaign}/{level}/errors.json",
    log:
        "results/{campaign}/{level}/logs/evaluate.log",
    benchmark:
        "results/{campaign}/{level}/cost/evaluate.tsv"
    conda:
        student_environment
    resources:
        mem_mb=growing(4000),
    shell:
        "saltern evaluate {input.dataset} {input.potentials} {output} 2>&1 | tee {log}"
