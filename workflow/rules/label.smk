rule label:
    """Energies, forces and stress for one batch of candidate frames."""
    input:
        candidates="results/{campaign}/{level}/candidates/{system}.h5",
        recalls=recalls,
        potentials=teaching,
    output:
        "results/{campaign}/{level}/labels/{system}/{batch}.h5",
    log:
        "results/{campaign}/{level}/logs/label/{system}/{batch}.log",
    benchmark:
        "results/{campaign}/{level}/cost/label/{system}/{batch}.tsv"
    conda:
        label_environment
    resources:
        mem_mb=label_memory,
        runtime=label_runtime,
    params:
        frames=lambda wildcards: interval(batches(wildcards.level, wildcards.system)[wildcards.batch]),
        spec=spec("label"),
    shell:
        "saltern label {input.candidates} {output} --frames {params.frames} --spec {params.spec:q}"
        " --recalls {input.recalls:q} --potentials {input.potentials:q} 2>&1 | tee {log}"
