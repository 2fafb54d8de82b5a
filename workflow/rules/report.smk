rule report:
    """One page that needs no network, its figures as files, and the same in a few lines of text."""
    input:
        systems="results/{campaign}/systems.tsv",
        datasets=expand("results/{{campaign}}/{level}/dataset", level=LEVELS),
        errors=expand("results/{{campaign}}/{level}/errors.json", level=LEVELS),
        audits=[f"results/{{campaign}}/{name}/audit.txt" for name, level in LEVELS.items() if level.audited],
        properties=[
            f"results/{{campaign}}/{level}/properties/{state}.json" for level in LEVELS for state in states(level)
        ],
    output:
        page=report("results/{campaign}/report.html", caption="../report/report.rst", category="Report"),
        summary="results/{campaign}/summary.txt",
        figures=directory("results/{campaign}/figures"),
    log:
        "results/{campaign}/logs/report.log",
    conda:
        "../../envs/core.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        levels=" ".join(LEVELS),
        temperatures=temperatures(),
    shell:
        "saltern report results/{wildcards.campaign} {output.page} {output.summary} {output.figures} --levels {params.levels}"
        " {params.temperatures} 2>&1 | tee {log}"
