rule sample:
    """Decorrelated candidate frames of one system from cheap molecular dynamics."""
    input:
        "results/{campaign}/systems/{system}.h5",
    output:
        "results/{campaign}/{level}/candidates/{system}.h5",
    log:
        "results/{campaign}/{level}/logs/sample/{system}.log",
    benchmark:
        "results/{campaign}/{level}/cost/sample/{system}.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        runtime=growing(120),
    params:
        spec=spec("sample"),
    shell:
        "saltern sample {input} {output} --spec {params.spec:q} 2>&1 | tee {log}"
