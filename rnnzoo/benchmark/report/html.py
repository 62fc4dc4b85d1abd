"""The report as one HTML page that needs nothing but itself."""

from __future__ import annotations

import json
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from rnnzoo.benchmark.report.chart_data import datasets
from rnnzoo.benchmark.report.charts import pictures, themes
from rnnzoo.benchmark.report.contents import Report
from rnnzoo.benchmark.report.style import label
from rnnzoo.benchmark.report.tables import row_label


def render_page(report: Report) -> str:
    """The page's HTML. Everything that comes from results is escaped, and the page forbids itself any request."""
    import vl_convert

    environment = Environment(
        loader=PackageLoader("rnnzoo.benchmark.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    drawn = pictures(report)
    data = {
        "pictures": {picture.name: picture.specification for picture in drawn},
        "tables": datasets(report),
        "themes": themes(report),
    }
    return environment.get_template("report.html").render(
        report=report,
        pictures=drawn,
        data=json_for_script(data),
        library=vl_convert.javascript_bundle(),  # type: ignore[call-arg]  # its stub asks for more than it does
        label=label,
        row_label=row_label,
    )


def json_for_script(data: Any) -> str:
    """Compact JSON that cannot end the script element it is written into."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
