# What the study costs, before anything runs: `snakemake --cores 1 -- plan`. A run that cannot fit on
# the disk is refused when it starts.


import signal

from visae.base import endings, progress


localrules:
    index,
    plan,


rule index:
    input:
        [
            PATHS.index(f"{dataset}/{split}")
            for dataset, entry in STUDY.config["datasets"].items()
            for split in entry["splits"]
        ],
    message:
        "The images of all data sets are listed"


# Without outputs, so that it runs whenever it is asked for.
rule plan:
    log:
        "<logs>/plan.log",
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=minutes(10),
    params:
        config=STUDY.config,
    message:
        "Counting what the study costs"
    script:
        "../workflow_scripts/plan.py"


# Not called in a dry run, which need not pay for the imports either. Snakemake keeps the last block
# of this name only.
onstart:
    from visae.plan.disk import check_run

    # Files are listed and backbones measured where no index and no earlier plan says more.
    progress.show(lambda text: print(f"  planning: {text}", file=sys.stderr))
    # Jobs start as soon as they may. Snakemake's limit of jobs per time sets a timer for each of
    # them, and waits for the last timer at the end of every command.
    workflow.scheduler.job_rate_limiter = None
    queue.attend(workflow.scheduler._executor, queue.tell)
    endings.handle_in_a_thread(signal.SIGTERM)
    try:
        arms.check(STUDY)
        partitions.check_jobs(cluster_partitions(), workflow.dag.needrun_jobs())
        note = check_run(
            STUDY, {str(path) for job in workflow.dag.needrun_jobs() for path in job.output}
        )
    except UserError as error:
        raise Refusal(str(error)) from None
    if note:
        print(note, file=sys.stderr)
    # What `visae.open_study` reads: the folder of results says by itself what it holds.
    write_config(config, STUDY.paths.config())
