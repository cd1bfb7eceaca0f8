#!/usr/bin/env python
"""Says of a Slurm job, for Snakemake's cluster-generic executor: running, success or failed.

A job that waits again because its node was lost, or because it was preempted, is running.
"""

from __future__ import annotations

import argparse
import subprocess

from kvsweep.errors import KvsweepError
from kvsweep.machine.cluster_job import job_status
from kvsweep.program import run_program


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", help="the number that sbatch has printed")
    job: str = parser.parse_args().job
    try:
        done = subprocess.run(
            ["scontrol", "show", "job", "--oneliner", job],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KvsweepError(f"scontrol cannot be run: {error}.") from error
    print(job_status(done.stdout + done.stderr))


if __name__ == "__main__":
    run_program(main)
