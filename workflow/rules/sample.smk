rule sample:
    """Decorrelated candidate frames of one system from cheap molecular dynamics."""
    input:
        system="results/{campaign}/systems/{system}.h5",
        potentials=sampling,
    output:
        "results/{campaign}/{level}/candidates/{system}.h5",
    log:
        "results/{campaign}/{level}/logs/sample/{system}.log",
    benchmark:
        "results/{campaign}/{level}/cost/sample/{system}.tsv"
    conda:
        sample_environment
    resources:
        runtime=growing(120),
    params:
        spec=spec("sample"),
    shell:
        "saltern sample {input.system} {output} --potentials {input.potentials:q} --spec {params.spec:q}"
        " 2>&1 | tee {log}"
