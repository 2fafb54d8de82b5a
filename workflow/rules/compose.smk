rule compose:
    """One packed box: counts from the molality, size from the density."""
    output:
        "results/{campaign}/systems/{system}.h5",
    log:
        "results/{campaign}/logs/compose/{system}.log",
    benchmark:
        "results/{campaign}/cost/compose/{system}.tsv"
    conda:
        "../../envs/core.yaml"
    resources:
        runtime=growing(10),
    params:
        system=lambda wildcards: SYSTEMS[wildcards.system].told,
    shell:
        "saltern compose {output} --system {params.system:q} 2>&1 | tee {log}"


rule systems:
    """The table that says what each system's identifier stands for."""
    input:
        expand("results/{{campaign}}/systems/{system}.h5", system=SYSTEMS),
    output:
        report("results/{campaign}/systems.tsv", caption="../report/systems.rst", category="Systems"),
    log:
        "results/{campaign}/logs/systems.log",
    conda:
        "../../envs/core.yaml"
    shell:
        "saltern systems {input} {output} 2>&1 | tee {log}"
