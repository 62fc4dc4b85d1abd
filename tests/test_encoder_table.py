"""The benchmark page says what the results kept beside it say, and nothing else.

The JSON is kept with the project: these tests find a page that was changed by hand, or results without their page. They
say nothing of the numbers themselves, which only the benchmark measures.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from encoder_passes import RESULTS, TABLE  # noqa: E402
from encoder_table import ENCODERS, KEPT  # noqa: E402


def test_the_page_is_made_from_the_kept_results() -> None:
    assert ENCODERS.text_in((ROOT / "docs" / "benchmark.md").read_text()) == ENCODERS.render_all(KEPT).strip()
    assert "interactive probing" in ENCODERS.render_all(KEPT)


def test_the_table_of_passes_is_made_from_the_kept_results() -> None:
    assert TABLE.text_in((ROOT / "docs" / "performance.md").read_text()) == TABLE.render_all(RESULTS).strip()


def test_kept_results_name_no_folder_of_the_machine_they_were_made_on() -> None:
    for path in KEPT.glob("encoders-*/runs.jsonl"):
        for line in path.read_text().splitlines():
            assert "/" not in json.loads(line)["zoo"]["folder"]
