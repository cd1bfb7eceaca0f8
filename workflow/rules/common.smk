# What several rule files need: paths, how programs are called, what the cells are.


wildcard_constraints:
    engine=r"[^/]+",
    model=r"[^/]+",
    corpus=r"[^/]+",
    ctk=r"[a-z0-9_]+",
    ctv=r"[a-z0-9_]+",
    n_ctx=r"\d+",
    depth=r"\d+",


# A new checkout, another Python or a changed limit must not run finished cells again: none of these is a param.
PYTHON = shlex.quote(sys.executable)
BASE = shlex.quote(workflow.basedir)
LIMITS = (
    f"--cell-hours {STUDY.limits.cell_hours} --log-mebibytes {STUDY.limits.log_mebibytes}"
    + (f" --machine {shlex.quote(STUDY.machine)}" if STUDY.machine else "")
)
ALL_CORES = workflow.cores or os.cpu_count()

PAIRS_CHECKED = [f"results/engines/{engine}/pairs.checked" for engine in STUDY.engines]
CELLS = [*cells.quality_cells(STUDY), *cells.throughput_cells(STUDY)]
CELL_RECORDS = [f"results/{cell.directory}/run.json" for cell in CELLS]


def program(name):
    """The call of one of the workflow's programs, with the Python that runs Snakemake."""
    return f"{PYTHON} {shlex.quote(str(SCRIPTS / name))}"


def source_files(*patterns):
    """Files of the workflow as inputs: tracked by checksum, so that a touch or a checkout changes nothing."""
    at_home = Path.cwd() == Path(workflow.basedir)
    root = SCRIPTS.relative_to(workflow.basedir) if at_home else SCRIPTS
    return [str(path) for pattern in patterns for path in sorted(root.glob(pattern))]


def from_base(path):
    """A path of the configuration: a relative one starts where the Snakefile is."""
    return Path(workflow.basedir, Path(path).expanduser())


def content(path, memory):
    """What a big file holds, as a param: other bytes count as a change, another time stamp does not.

    Read again only when size or time stamp changed.
    """
    path = from_base(path)
    return sha256_once(path, Path(memory)) if path.is_file() else "missing"
