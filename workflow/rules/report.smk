# Needs: the Parquet tables and nothing else. Makes: figures and the report.

from kvsweep.analysis_schemas import ANALYSIS
from kvsweep.figures.catalogue import FIGURES
from kvsweep.schemas import TABLES as MEASURED


localrules:
    figures,
    report,


rule figures:
    """Draws every figure: for the report, a paper's column and a slide, with the numbers drawn."""
    input:
        tables=expand(
            "results/tables/{table}.parquet",
            table=["throughput", "quality"],
        ),
    output:
        expand(
            "results/figures/{figure}{form}",
            figure=FIGURES,
            form=[".png", ".pdf", "-slide.pdf", ".csv"],
        ),
        report(
            expand("results/figures/{figure}.svg", figure=FIGURES),
            category="Figures",
            caption="../report/figures.rst",
        ),
    log:
        "results/logs/figures.log",
    conda:
        "../envs/kvsweep.yaml"
    threads: all_cores
    params:
        code=code("draw_figures.py"),
    shell:
        "draw_figures.py --tables results/tables --out results/figures --processes {threads}"
        " 2>&1 | tee {log:q}"


rule report:
    """Writes the report, as one self-contained HTML file and as Markdown."""
    input:
        tables=expand("results/tables/{table}.parquet", table=[*MEASURED, *ANALYSIS]),
        figures=expand(
            "results/figures/{figure}{form}", figure=FIGURES, form=[".svg", ".csv"]
        ),
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
        code=code(
            "write_report.py", *sorted(SCRIPTS.glob("kvsweep/report/templates/[!.]*"))
        ),
    shell:
        "write_report.py --tables results/tables --figures results/figures"
        " --html {output.html:q} --markdown {output.markdown:q} 2>&1 | tee {log:q}"
