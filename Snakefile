# Saltern: from a campaign file to labelled data, potentials, simulations, properties and a report.
#
#   saltern run config/demo.yaml
#
# which starts snakemake --profile profiles/local --configfile config/demo.yaml, and takes it up again after a kill.

import os

from snakemake.utils import min_version

min_version("9.27")

# where envs/*.post-deploy.sh finds the clone, also with --directory
os.environ.setdefault("SALTERN_ROOT", str(workflow.basedir))


include: "workflow/rules/common.smk"


localrules:
    all,


rule all:
    """The report of the campaign, and with it everything else."""
    input:
        expand("results/{campaign}/{file}", campaign=CAMPAIGN.campaign, file=["report.html", "summary.txt"]),


include: "workflow/rules/compose.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/label.smk"
include: "workflow/rules/collect.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/published.smk"
include: "workflow/rules/simulate.smk"
include: "workflow/rules/observe.smk"
include: "workflow/rules/report.smk"
