# Two jobs that take some seconds and tell when they start and when they end. What they make depends on the campaign.
rule all:
    input:
        "one.out",
        "two.out",


rule steady:
    output:
        "{name}.out",
    params:
        campaign=config["campaign"],
    shell:
        "echo start >> {wildcards.name}.log; sleep $SECONDS_EACH; echo {params.campaign} > {output}; echo end >> {wildcards.name}.log"
