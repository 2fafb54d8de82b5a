# A job in the partition whose preempted jobs are cancelled; it hangs when it is first started and ends at once afterwards.
rule spot:
    output:
        "spot.out",
    threads: 4
    resources:
        slurm_partition="spotx",
    shell:
        "echo $SLURM_JOB_ID >> spot.starts; [ $(wc -l < spot.starts) -gt 1 ] || sleep 300; touch {output}"
