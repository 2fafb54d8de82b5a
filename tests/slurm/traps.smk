# One job for each thing that is known to go wrong on a cluster. A job hangs when it is first started and ends at once when
# it is started again, so that its output proves that it was.

TRAPS = ["memory", "time", "requeued", "cancelled", "node"]

HANG_ONCE = "echo $SLURM_JOB_ID >> {rule}.starts; [ $(wc -l < {rule}.starts) -gt 1 ] || sleep 300; touch {output}"


rule all:
    input:
        expand("{trap}.out", trap=TRAPS),


rule memory:
    output:
        "memory.out",
    resources:
        mem_mb=lambda wildcards, attempt: 300 * attempt**2,
    shell:
        "echo $SLURM_JOB_ID >> {rule}.starts; python -c 'bytearray(500 << 20)'; touch {output}"


rule time:
    output:
        "time.out",
    resources:
        runtime=lambda wildcards, attempt: attempt,
    shell:
        HANG_ONCE


rule requeued:
    output:
        "requeued.out",
    threads: 4
    resources:
        slurm_partition="spot",
    shell:
        HANG_ONCE


rule cancelled:
    output:
        "cancelled.out",
    threads: 4
    resources:
        slurm_partition="spotx",
    shell:
        HANG_ONCE


rule node:
    output:
        "node.out",
    resources:
        slurm_partition="gpu",
        gres="gpu:1",
    shell:
        HANG_ONCE + "; echo $CUDA_VISIBLE_DEVICES > {output}"
