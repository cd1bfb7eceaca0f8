# What each job needs, so that only what changed runs. A cell's own record says what it was measured with; it is compared
# with what the configuration and the files say now (kvsweep/plan/changes.py), and the plan gives the same reasons.

from kvsweep.files import manifest_identity, read_manifest
from kvsweep.plan import counts
from kvsweep.engine.identity import measuring_files

# What cells would be measured with now.
try:
    NOW = current.look(STUDY, RESULTS, BASE)
except KvsweepError as error:
    raise WorkflowError(str(error)) from None


BUILDS = [f"results/engines/{engine}/build.json" for engine in STUDY.engines]
MODELS = [f"results/models/{model}/model.json" for model in STUDY.models]
# Wanted for themselves, because finished cells do not ask for them: what is changed or gone is made, and checked, anew.
MANIFESTS = [
    *BUILDS,
    *MODELS,
    *dict.fromkeys(
        f"results/corpora/{run.corpus}/corpus.json"
        for run in cells.baseline_runs(STUDY)
    ),
]


RUNS = {str(run.directory): run for run in [*cells.baseline_runs(STUDY), *CELLS]}
CHANGED = Path(".snakemake", "kvsweep-changed.txt")


@functools.cache
def standing(directory):
    """Whether a cell or baseline of the study is finished, and if it is, why it has to be measured again."""
    if directory not in RUNS:
        return counts.Standing(False, None)
    record = counts.read_record(RESULTS / directory)
    return counts.standing(RUNS[directory], record, STUDY, NOW)


@functools.cache
def changed():
    """A file that is newer than every finished cell: an input of those that have to be measured again."""
    write_text(CHANGED, f"{time.time_ns()}\n")
    return str(CHANGED)


def outdated(path, still):
    """``changed()`` as the input of a job whose result is there but, as ``still`` finds reading it, not as it has to be.

    Params say the same where Snakemake's records are there; results that came from elsewhere have none.
    """
    made = read_manifest(Path(path))
    return [] if made is None or still(made) else [changed()]


def is_forced(rule):
    settings = workflow.dag_settings
    return settings.forceall or rule in settings.forcerun


def needs(rule, run, *inputs):
    """The inputs of a cell that has to be measured. One that is finished has none: neither a rebuilt engine nor a lost
    baseline runs it again, only a change that its own record shows."""
    finished, change = standing(str(run.directory))
    if is_forced(rule) or not finished:
        return list(inputs)
    return [*inputs, changed()] if change else []


def manifests(wildcards):
    """Of the engine, the model and, where there is one, the corpus."""
    yield f"results/engines/{wildcards.engine}/build.json"
    yield f"results/models/{wildcards.model}/model.json"
    if "corpus" in wildcards.keys():
        yield f"results/corpora/{wildcards.corpus}/corpus.json"


def baseline_inputs(wildcards):
    return needs("baseline", baseline_of(wildcards), *manifests(wildcards))


def quality_inputs(wildcards):
    cell = quality_cell_of(wildcards)
    baseline = RESULTS / cell.baseline.directory
    return needs(
        "quality_cell",
        cell,
        *manifests(wildcards),
        str(baseline / "run.json"),
        # Made again if they are gone; their time stamp says nothing, their content is checked before use.
        ancient(str(baseline / "logits.kld")),
    )


def throughput_inputs(wildcards):
    return needs(
        "throughput_cell", throughput_cell_of(wildcards), *manifests(wildcards)
    )


def outdated_engine(wildcards):
    now = NOW.engines[wildcards.engine]
    return outdated(
        f"results/engines/{wildcards.engine}/build.json",
        lambda build: (
            build.get("definition", now.definition) == now.definition
            and now.files
            in (None, measuring_files(build["files"], build.get("programs", ())))
        ),
    )


def outdated_model(wildcards):
    now = NOW.models[wildcards.model]
    return outdated(
        f"results/models/{wildcards.model}/model.json", lambda made: is_as(made, now)
    )


def outdated_corpus(wildcards):
    now = NOW.corpora[wildcards.corpus]
    return outdated(
        f"results/corpora/{wildcards.corpus}/corpus.json", lambda made: is_as(made, now)
    )


OF_THE_STUDY = configuration.what_is_measured(config)


def outdated_study(wildcards):
    asked = json.loads(json.dumps(OF_THE_STUDY))
    return outdated("results/config.json", lambda made: made == asked)


def is_as(made, now):
    """Whether a model or corpus that was ``made`` is what it would be made as now, as far as that is known."""
    return now.source is None and now.sha256 in (None, made["sha256"])


def manifests_of_tables(wildcards):
    """One that is made again and comes out the same changes no table; those of cells to run are there before the tables."""
    if is_forced("tables") or not Path("results/tables/engines.parquet").exists():
        return [*BUILDS, *MODELS]
    return outdated(
        "results/parsed/manifests.json",
        lambda seen: all(
            manifest_identity(Path(path)) in (None, seen.get(path))
            for path in [*BUILDS, *MODELS]
        ),
    )


def known_cache_types(engine):
    """The cache types that an engine accepts, if it is there as the configuration and its files are now."""
    build = current.build_of(engine, RESULTS)
    if build is None:
        return None
    files = measuring_files(build["files"], engine.programs)
    return build["cache_types"] if files == NOW.engines[engine.name].files else None


def check_pairs():
    """Refuses pairs that an engine does not know. Engines that have to be built first are checked as soon as they are."""
    for engine in STUDY.engines.values():
        accepted = known_cache_types(engine)
        if accepted is None:
            yield f"results/engines/{engine.name}/pairs.checked"
        else:
            configuration.check_engine_accepts(engine.name, accepted, engine.pairs)


try:
    PAIRS_CHECKED = list(check_pairs())
except KvsweepError as error:
    raise WorkflowError(str(error)) from None
