"""kvsweep's library: pure functions that the workflow's programs are made of, tested without Snakemake."""
