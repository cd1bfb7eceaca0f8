# Needs: the Parquet tables and nothing else. Makes: figures and the report.

# The names in kvsweep/figures.py, which is too slow to import here; a test compares them.
FIGURES = [
    "prefill_by_depth",
    "prefill_relative",
    "decode_by_depth",
    "decode_relative",
    "kld_by_pair",
    "kld_by_bits",
    "top1_by_pair",
]


rule figures:
    """Draws every figure."""
    input:
        tables=rules.tables.output,
    output:
        expand("results/figures/{figure}.png", figure=FIGURES),
        report(
            expand("results/figures/{figure}.svg", figure=FIGURES),
            category="Figures",
            caption="../report/figures.rst",
        ),
    log:
        "results/logs/figures.log",
    conda:
        "../envs/kvsweep.yaml"
    params:
        code=code("draw_figures.py"),
    shell:
        "draw_figures.py --tables results/tables --out results/figures 2>&1 | tee {log:q}"


rule report:
    """Writes the report, as one self-contained HTML file and as Markdown."""
    input:
        tables=rules.tables.output,
        figures=rules.figures.output,
    output:
        html=report(
            "results/report.html", category="Report", caption="../report/report.rst"
        ),
        markdown="results/report.md",
    log:
        "results/logs/report.log",
    conda:
        "../envs/kvsweep.yaml"
    params:
        code=code("write_report.py", *sorted(SCRIPTS.glob("kvsweep/templates/[!.]*"))),
    shell:
        "write_report.py --tables results/tables --figures results/figures"
        " --html {output.html:q} --markdown {output.markdown:q} 2>&1 | tee {log:q}"
