# Needs: the Parquet tables and nothing else. Makes: figures and the report.

from kvsweep.figures.catalogue import FIGURES
from kvsweep.tables.names import ANALYSIS, MEASURED


localrules:
    figures,
    report,


rule figures:
    """Draws every figure: for the report, a paper's column and a slide, with the numbers drawn."""
    input:
        tables=expand(
            "{{root}}/tables/{table}.parquet",
            table=sorted({figure.table for figure in FIGURES.values()}),
        ),
    output:
        expand(
            "{{root}}/figures/{figure}{form}",
            figure=FIGURES,
            form=[".png", ".pdf", "-slide.pdf", ".csv"],
        ),
        report(
            expand("{{root}}/figures/{figure}.svg", figure=FIGURES),
            category="Figures",
            caption="../report/figures.rst",
        ),
    log:
        "{root}/logs/figures.log",
    conda:
        "../envs/kvsweep.yaml"
    threads: all_cores
    params:
        code=code("draw_figures.py"),
    shell:
        command(
            "draw_figures.py",
            "--tables {wildcards.root:q}/tables --out {wildcards.root:q}/figures --processes {threads}",
        )


rule report:
    """Writes the report, as one self-contained HTML file and as Markdown."""
    input:
        tables=expand("{{root}}/tables/{table}.parquet", table=[*MEASURED, *ANALYSIS]),
        figures=expand(
            "{{root}}/figures/{figure}{form}", figure=FIGURES, form=[".svg", ".csv"]
        ),
    output:
        html=report(
            "{root}/report.html", category="Report", caption="../report/report.rst"
        ),
        markdown="{root}/report.md",
    log:
        "{root}/logs/report.log",
    conda:
        "../envs/kvsweep.yaml"
    params:
        code=code(
            "write_report.py", *sorted(SCRIPTS.glob("kvsweep/report/templates/[!.]*"))
        ),
    shell:
        command(
            "write_report.py",
            "--tables {wildcards.root:q}/tables --figures {wildcards.root:q}/figures --html {output.html:q} "
            f"--markdown {{output.markdown:q}} --configfile={literal(CONFIG_FILES)}",
        )
