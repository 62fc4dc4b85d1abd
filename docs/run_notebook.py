"""Run the cells of a notebook in order and keep in it what they show: `make quickstart`.

The tests run the quickstart by the same functions. Jupyter's own runner would bring some thirty packages for that.
"""

from __future__ import annotations

import ast
import base64
import io
import json
import os
import sys
import tempfile
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

from matplotlib import pyplot as plt

PACKAGE = Path(__file__).resolve().parent.parent


def run_cells(notebook: dict[str, Any]) -> None:
    """Run every code cell in the current folder and put its outputs into the notebook, in Jupyter's format 4.5."""
    variables: dict[str, Any] = {"__name__": "__main__"}
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(code, start=1):
        cell["execution_count"] = number
        cell["outputs"] = list(_outputs("".join(cell["source"]), number, variables))


def _outputs(source: str, number: int, variables: dict[str, Any]) -> Any:
    """What a cell prints, the value of its last line unless a semicolon ends it, and the figures it draws."""
    *first, last = ast.parse(source).body
    shown = isinstance(last, ast.Expr) and not source.rstrip().endswith(";")
    printed, value = io.StringIO(), None
    with redirect_stdout(printed):
        exec(compile(ast.Module(first if shown else [*first, last], []), f"cell {number}", "exec"), variables)
        if shown:
            value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), variables)
    if printed.getvalue():
        yield {"name": "stdout", "output_type": "stream", "text": _lines(printed.getvalue())}
    if value is not None:
        html = {"text/html": _lines(value._repr_html_())} if hasattr(value, "_repr_html_") else {}
        data = {**html, "text/plain": _lines(repr(value))}
        yield {"data": data, "execution_count": number, "metadata": {}, "output_type": "execute_result"}
    for figure in map(plt.figure, plt.get_fignums()):
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=72, bbox_inches="tight", metadata={"Software": None})
        data = {"image/png": base64.b64encode(image.getvalue()).decode() + "\n"}
        yield {"data": data, "metadata": {}, "output_type": "display_data"}
    plt.close("all")


def _lines(text: str) -> list[str]:
    """Text as notebooks store it, without the folders of whoever ran it."""
    return text.replace(f"{PACKAGE}{os.sep}", "").replace(f"{Path.cwd()}{os.sep}", "").splitlines(keepends=True)


def main(path: Path) -> None:
    """Run a notebook in an empty folder and write it back with its outputs."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as empty, chdir(empty):
        run_cells(notebook)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
