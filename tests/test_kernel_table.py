"""The page of the CUDA engine says what the JSON beside it says, and nothing else.

The JSON is kept with the project: these tests find a page that was changed by hand, or results without their page. They
say nothing of the numbers themselves, which only the benchmark measures.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
sys.path.insert(0, str(ROOT / "benchmarks"))

from kernel_table import KERNELS, render  # noqa: E402


def test_the_page_is_made_from_its_json():
    rendered = KERNELS.render_all(RESULTS).strip()
    assert "Triton 3.6.0, sm_90" in rendered
    assert KERNELS.text_in((ROOT / "docs" / "gpu_engine.md").read_text()) == rendered


def test_rewriting_replaces_only_the_block(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{KERNELS.begin}\nold\n{KERNELS.end}\nafter\n")
    KERNELS.rewrite(page, RESULTS)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old\n" not in text
    assert KERNELS.text_in(text) == KERNELS.render_all(RESULTS).strip()


@pytest.mark.parametrize("path", sorted(RESULTS.glob(KERNELS.pattern)), ids=lambda path: path.stem)
def test_kept_kernels_spill_nothing(path: Path):
    precisions = json.loads(path.read_text())["precisions"]
    assert set(precisions) == {"tf32x3", "ieee"}
    for launches in precisions.values():
        assert [launch for launch in launches if launch["spilled"]] == []


def test_a_row_shows_both_precisions_and_equal_launches_share_it():
    def launch(registers: int) -> dict:
        return {"zoo": "toy", "kernel": "k", "warps": 4, "registers": registers, "spilled": 0, "shared": 64}

    precisions = {"tf32x3": [launch(20), launch(20)], "ieee": [launch(10), launch(10)]}
    table = render({"triton": "1.0", "target": "sm_90", "precisions": precisions})
    assert table.splitlines()[0] == "**Triton 1.0, sm_90** (tf32x3 / ieee)"
    assert table.count("| toy | k | 4 / 4 | 20 / 10 | 0 / 0 | 64 / 64 |") == 1
