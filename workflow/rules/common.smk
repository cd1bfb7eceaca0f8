# Shared by all rules: names, what the cells are, and what the rules read from the configuration.

from kvsweep.plan import current
from kvsweep.study.pairs import Pair
from kvsweep.code_identity import code_identity


wildcard_constraints:
    engine=r"[^/]+",
    model=r"[^/]+",
    corpus=r"[^/]+",
    ctk=r"[a-z0-9_]+",
    ctv=r"[a-z0-9_]+",
    n_ctx=r"\d+",
    depth=r"\d+",
    # Where a set of tables and the report on it lie: all that was measured, or the published numbers alone.
    root=r"results(/published)?",


BASE, RESULTS = Path(workflow.basedir), Path("results")

# The programs that the rules call are found on the path, run by the Python that runs Snakemake. This and what follows goes
# by the environment and not by params, because a new checkout or a changed limit must not run finished cells again.
os.environ |= {
    "PATH": os.pathsep.join(
        [str(Path(sys.executable).parent), str(SCRIPTS), os.environ.get("PATH", "")]
    ),
    # The runners of the cells end their engines when this process is gone. On a cluster's node it is the Snakemake there.
    WORKFLOW_PID: str(os.getpid()),
    # What the report says about measuring it again, to be typed at the top of a checkout.
    CONFIG_FILES: shlex.join(
        str(path.relative_to(BASE) if path.is_relative_to(BASE) else path)
        for path in map(Path, workflow.overwrite_configfiles)
    ),
    LIMITS: json.dumps({**dataclasses.asdict(STUDY.limits), "machine": STUDY.machine}),
    # Only a cluster's nodes are the nodes of the configuration.
    NODES: json.dumps(
        {
            name: dataclasses.asdict(engine.nodes)
            for name, engine in STUDY.engines.items()
            if workflow.remote_exec and engine.nodes
        }
    ),
}
if workflow.is_main_process:
    # Also for what is said on a cluster's node, where the shell's environment comes along.
    os.environ[LAST_WORDS] = str(
        Path(".snakemake", f"kvsweep-{os.getpid()}.txt").resolve()
    )
    # Where bars are drawn. Not of the shell's environment: that terminal may be another one.
    os.environ.pop(TERMINAL, None)
    if sys.stderr.isatty():
        os.environ[TERMINAL] = os.ttyname(sys.stderr.fileno())

CELLS = [*cells.quality_cells(STUDY), *cells.throughput_cells(STUDY)]
BASELINE_RECORDS = [
    f"results/{run.directory}/run.json" for run in cells.baseline_runs(STUDY)
]
CELL_RECORDS = [f"results/{cell.directory}/run.json" for cell in CELLS]


def pair_of(wildcards):
    return Pair(wildcards.ctk, wildcards.ctv)


def baseline_of(wildcards):
    return cells.BaselineRun(
        wildcards.engine, wildcards.model, wildcards.corpus, int(wildcards.n_ctx)
    )


def quality_cell_of(wildcards):
    return cells.QualityCell(
        wildcards.engine,
        wildcards.model,
        wildcards.corpus,
        int(wildcards.n_ctx),
        pair_of(wildcards),
    )


def throughput_cell_of(wildcards):
    return cells.ThroughputCell(
        wildcards.engine, wildcards.model, int(wildcards.depth), pair_of(wildcards)
    )


def code(program, *data):
    """A program of workflow/scripts with all that it imports, and files that it reads, as a param of its rule.

    By content and without comments and layout: an edit that means something runs the rule again, a checkout does not.
    Found out when a job asks. The Snakefile is also read for a single cell, on a node of a cluster.
    """

    def of_job(wildcards):
        try:
            return code_identity(
                SCRIPTS / program, data, Path(".snakemake", "kvsweep-code.json")
            )
        except KvsweepError as error:
            raise WorkflowError(str(error)) from None

    return of_job


def published_files():
    """The published numbers, as data."""
    directory = Path(workflow.basedir, "resources", "published")
    return [
        path
        for path in sorted(directory.iterdir())
        if path.suffix in (".csv", ".yaml", ".json")
    ]


def slice_directories():
    """The directories with the slices' tables, by name."""
    return {
        name: BASE / Path(place).expanduser() for name, place in STUDY.slices.items()
    }


def slice_files():
    """The tables of the slices; that a directory has none is said by the program that reads them."""
    return [
        str(path)
        for place in slice_directories().values()
        for path in sorted(place.glob("*.parquet"))
    ]


def ready_binaries(wildcards):
    """What the binaries of a ready-made engine hold; nothing for one that is built."""
    files = current.ready_files(STUDY.engines[wildcards.engine], RESULTS, BASE)
    return "" if files is None else " ".join(files.values())


def origin_of(entry):
    """Where a file comes from: its path, or for one to fetch what the configuration says of it."""
    local = entry.origin.path
    return entry.origin.definition() if local is None else local


def check_local_inputs(jobs):
    """Says which local models and texts are missing before an engine is built for them."""
    needed = {(job.rule.name, job.wildcards.get(job.rule.name)) for job in jobs}
    missing = [
        f"{section}.{entry.name}.path: there is no file {path}"
        for rule, section in (("model", "models"), ("corpus", "corpora"))
        for entry in getattr(STUDY, section).values()
        if (rule, entry.name) in needed and entry.origin and entry.origin.path
        if not (path := Path(BASE, Path(entry.origin.path).expanduser())).is_file()
    ]
    if missing:
        raise WorkflowError(
            "; ".join(missing)
            + ". Put what is missing there, or correct the path; nothing was built or measured."
        )


def say_what_will_not_fit():
    """What the plan warns of, before hours are spent on it. Nothing of it stops the run."""
    subprocess.run(
        [
            *(sys.executable, SCRIPTS / "make_plan.py", "--warnings"),
            *("--results", "results", "--config", json.dumps(config)),
        ],
        check=False,
    )


MEASURING_RULES = ("baseline", "quality_cell", "throughput_cell")
# What a run of the study does; a look at it, and the report on the published numbers, do none of it.
OF_THE_STUDY_ITSELF = (*MEASURING_RULES, "study", "tables")
measuring = set()


def run_anyway(jobs):
    """The cells that run because the user forces their rule."""
    return [
        str(Path(job.output.run).parent.relative_to(RESULTS))
        for job in jobs
        if job.rule.name in MEASURING_RULES and is_forced(job.rule.name)
    ]


def tell_of_the_end(message):
    """To a run that measured something, by the user's own command."""
    failure = notify(f"kvsweep: {message}", os.environ) if measuring else None
    if failure:
        print(f"kvsweep: {failure}", file=sys.stderr)


def model_origin(wildcards):
    return origin_of(STUDY.models[wildcards.model])


def model_content(wildcards):
    """What a local model holds. What is fetched is what its definition says, once and for all."""
    model = STUDY.models[wildcards.model]
    if model.origin.path is None:
        return ""
    return current.local_model_sha256(model, RESULTS, BASE) or "missing"


def expected_sha256(entry):
    return f"--sha256 {entry.sha256}" if entry.sha256 else ""


def corpus_source(wildcards):
    """Where a corpus comes from, as options of the program that makes it."""
    corpus = STUDY.corpora[wildcards.corpus]
    if corpus.origin is None:
        return f"--seed {corpus.seed} --bytes {corpus.n_bytes}"
    options = f"--path {shlex.quote(origin_of(corpus))}"
    if corpus.member is not None:
        options += f" --member {shlex.quote(corpus.member)}"
    if corpus.archive_sha256 is not None:
        options += f" --archive-sha256 {corpus.archive_sha256}"
    return options


def corpus_content(wildcards):
    corpus = STUDY.corpora[wildcards.corpus]
    if corpus.origin is None or corpus.origin.path is None:
        return ""
    return current.local_text_sha256(corpus, RESULTS, BASE) or "missing"


def quality_priority(wildcards):
    """Short contexts first; at each the baseline before its cells, and of these the control first."""
    control = (wildcards.get("ctk", "f16"), wildcards.get("ctv", "f16")) == (
        "f16",
        "f16",
    )
    return 100_000_000 - 4 * int(wildcards.n_ctx) + control


def chunks(wildcards):
    return STUDY.quality.chunks[int(wildcards.n_ctx)]


def bench_request(wildcards):
    """One string, because params are compared as an unordered set of values."""
    asked = STUDY.throughput
    return f"--prompt {asked.prompt} --generate {asked.generate} --repetitions {asked.repetitions}"


def throughput_priority(wildcards):
    """Shallow first, of one depth f16/f16 first: the time of a deep cell is predicted from these."""
    return -4 * int(wildcards.depth) + (
        (wildcards.ctk, wildcards.ctv) == ("f16", "f16")
    )
