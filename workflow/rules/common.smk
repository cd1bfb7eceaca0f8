# Shared by all rules: names, what the cells are, and what the rules read from the configuration.

from kvsweep.study.pairs import Pair
from kvsweep.code_identity import code_identity
from kvsweep.plan.inside_snakemake import python_of
from kvsweep.program import WORKFLOW


wildcard_constraints:
    engine=r"[^/]+",
    model=r"[^/]+",
    corpus=r"[^/]+",
    ctk=r"[A-Za-z0-9_.+-]+",
    ctv=r"[A-Za-z0-9_.+-]+",
    n_ctx=r"\d+",
    depth=r"\d+",
    task=r"[^/]+",
    # The first round has no directory of its own: there cells lay before there were rounds.
    round=r"(round-\d+/)?",
    # A cell that is compared with the f16 of another engine than its own; the others lie where they lay before that.
    against=r"(against-[^/]+/)?",
    # Where a set of tables and the report on it lie: all that was measured, the published numbers or kvsweep's own
    # slices alone.
    root=r"results(/published|/study)?",


BASE, RESULTS = Path(workflow.basedir), Path("results")


def literal(text):
    """A text for a rule's shell command: one word, whatever is in it, in which Snakemake fills nothing in."""
    return shlex.quote(str(text)).replace("{", "{{").replace("}", "}}")


# What every runner is told of the configuration's limits, as options. They change no finished cell.
LIMITS = " ".join(
    [
        f"--cell-hours {STUDY.limits.cell_hours}",
        f"--log-mebibytes {STUDY.limits.log_mebibytes}",
        *(["--skip"] if STUDY.limits.skip else []),
        *([f"--machine {literal(STUDY.machine)}"] if STUDY.machine else []),
    ]
)
# What the report says about measuring it again, to be typed at the top of a checkout.
CONFIG_FILES = shlex.join(
    str(path.relative_to(BASE) if path.is_relative_to(BASE) else path)
    for path in map(Path, workflow.overwrite_configfiles)
)
if workflow.is_main_process:
    # Where bars are drawn. Not of the shell's environment: that terminal may be another one.
    os.environ.pop(TERMINAL, None)
    if sys.stderr.isatty():
        os.environ[TERMINAL] = os.ttyname(sys.stderr.fileno())


def heard(command):
    """A shell command of which the log hears what it says, too.

    A log that cannot be written, on a full disk, is no reason to lose what a program made.
    """
    return f"{command} 2>&1 | {{{{ tee {{log:q}} 2> /dev/null || :; }}}}"


PYTHON = python_of(workflow)


def program(name, options):
    """A program by the Python that runs programs."""
    return f"{literal(PYTHON)} {literal(SCRIPTS / name)} {options}"


def command(name, options):
    """The shell command of a rule: a program that ends with the Snakemake that it works for."""
    return heard(f"{WORKFLOW}=$PPID {program(name, options)}")


def measuring(kind, names, options):
    """The shell command that measures a cell. Each wildcard is filled into ``names`` once, as variables of the shell:
    for every job of a dry run Snakemake fills a command in three times.

    A runner that is told of Snakemake ends with it only while its engine runs: what has been measured is kept.
    """
    runner = f"--results results {LIMITS}{{params.nodes}} --workflow-pid $PPID"
    return f"{names}; {heard(program('measure.py', f'{kind} {runner} {options}'))}"


def files_in(place, **names):
    """The outputs that a rule keeps in the directory of its cell."""
    return {output: f"results/{place}/{name}" for output, name in names.items()}


def log_of(place):
    return f"results/logs/{place}.log".replace("k-{ctk}/v-{ctv}", "{ctk}-{ctv}")


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
        reference=wildcards.get("against", "")[len("against-") : -1] or None,
    )


def scorer_cell_of(wildcards):
    return dataclasses.replace(quality_cell_of(wildcards), method="scorer")


def throughput_cell_of(wildcards):
    return cells.ThroughputCell(
        wildcards.engine,
        wildcards.model,
        int(wildcards.depth),
        pair_of(wildcards),
        int(wildcards.round[len("round-") : -1] or 1),
    )


def code(program, *data):
    """A program of workflow/scripts with all that it imports, and files that it reads, as a param of its rule.

    By content: an edit makes the results anew, a checkout does not. Found out when a job asks, because the Snakefile is
    also read for a single cell, on a node of a cluster.
    """
    return lambda wildcards: code_identity(SCRIPTS / program, data)


def published_files():
    """The published numbers, as data."""
    files = sorted((BASE / "resources" / "published").iterdir())
    return [path for path in files if path.suffix in (".csv", ".yaml", ".json")]


# The slices in examples/slices, by name.
SHIPPED = {path.stem: str(path) for path in sorted(BASE.glob("examples/slices/*.zip"))}


def slice_files():
    """What slices on this machine are read from; that there is nothing is said by the program that reads them."""
    found = []
    for path in (one.origin.path for one in STUDY.slices.values()):
        place = BASE / Path(path or "").expanduser()
        if path is not None and place.is_file():
            found.append(place)
        elif path is not None:
            for pattern in ("*.parquet", "tables/*.parquet", "**/run.json"):
                found += sorted(place.glob(pattern))
    return list(map(str, found))


def origin_of(entry):
    """Where a file comes from: its path, or for one to fetch what the configuration says of it.

    As an argument of a program: no path is taken for an option, or for something to fetch.
    """
    local = entry.origin.path
    if local is None or local.startswith("{"):
        return entry.origin.definition()
    return f"./{local}" if local.startswith("-") else local


def expected_sha256(entry):
    return f"--sha256 {entry.sha256}" if entry.sha256 else ""


def corpus_source(wildcards):
    """Where a corpus comes from, as options of the program that makes it."""
    corpus = STUDY.corpora[wildcards.corpus]
    if corpus.generate is not None:
        return f"--seed {corpus.generate.seed} --bytes {corpus.generate.bytes}"
    options = f"--path {shlex.quote(origin_of(corpus))}"
    if corpus.member is not None:
        options += f" --member {shlex.quote(corpus.member)}"
    if corpus.archive_sha256 is not None:
        options += f" --archive-sha256 {corpus.archive_sha256}"
    return options


def quality_priority(wildcards):
    """Short contexts first; at each the baseline before its cells, and of these the control first."""
    control = {wildcards.get("ctk", "f16"), wildcards.get("ctv", "f16")} == {"f16"}
    return 100_000_000 - 4 * int(wildcards.n_ctx) + control


def chunks(wildcards):
    return STUDY.quality.chunks[int(wildcards.n_ctx)]


def positions(wildcards):
    return str(STUDY.quality.positions[int(wildcards.n_ctx)])


def bench_request(wildcards):
    """One string, because params are compared as an unordered set of values."""
    asked = STUDY.throughput
    request = f"--prompt {asked.prompt} --generate {asked.generate} --repetitions {asked.repetitions}"
    return request + pair_arguments(wildcards)


def pair_arguments(wildcards):
    """What a pair with arguments of its own runs with; nothing for any other."""
    given = STUDY.engines[wildcards.engine].pair_arguments.get(pair_of(wildcards))
    return (
        ""
        if given is None
        else f" --arguments {shlex.quote(json.dumps(given.as_dict()))}"
    )


def scored_windows(wildcards):
    """With the pair's arguments one string, because params are compared as an unordered set of values."""
    return f"{chunks(wildcards)}{pair_arguments(wildcards)}"


def task_cell_of(wildcards):
    return cells.TaskCell(
        wildcards.engine, wildcards.model, wildcards.task, pair_of(wildcards)
    )


def task_request(wildcards):
    """What a cell's items follow from, and the text that they are of."""
    task = STUDY.tasks[wildcards.task]
    text = (
        f" --corpus results/corpora/{shlex.quote(task.corpus)}/corpus.json"
        if task.corpus
        else ""
    )
    if task.harness:
        text += f" --harness results/harness/{shlex.quote(wildcards.task)}.json"
    if task.cell_hours:
        text += f" --cell-hours {task.cell_hours}"  # the last one counts
    return f"--definition {shlex.quote(json.dumps(task.definition))} --n-items {task.n_items}{text}"


def task_priority(wildcards):
    """After speed; of a task f16/f16 first, which the others are compared with."""
    control = {wildcards.ctk, wildcards.ctv} == {"f16"}
    return -(2 * len(THROUGHPUT_ORDER)) - 2 + control


# The place of each throughput cell in the order in which they run.
THROUGHPUT_ORDER = {cell: place for place, cell in enumerate(cells.in_order(STUDY))}


def throughput_priority(wildcards):
    """After quality; whole rounds, each in its own order."""
    return -THROUGHPUT_ORDER.get(throughput_cell_of(wildcards), 0)


def presented(root):
    """The report and all that it is made of. Named one by one: beside results of an older kvsweep one may be missing."""
    return [
        *expand("{root}/report.{form}", root=root, form=["html", "md"]),
        *expand(
            "{root}/tables/{table}.parquet", root=root, table=[*MEASURED, *ANALYSIS]
        ),
        *expand(
            "{root}/figures/{figure}{form}",
            root=root,
            figure=FIGURES,
            form=[".svg", ".png", ".pdf", "-slide.pdf", ".csv"],
        ),
    ]
