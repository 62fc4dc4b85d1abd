"""The performance page says what the JSON beside it says, and nothing else.

The JSON is kept with the project: these tests find a page that was changed by hand, or results without their page. They
say nothing of the numbers themselves, which only the benchmark measures.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

from engine_table import ENGINES  # noqa: E402


def test_the_performance_page_is_made_from_its_json():
    rendered = ENGINES.render_all(ROOT / "benchmarks" / "results").strip()
    assert "numba engine" in rendered
    assert ENGINES.text_in((ROOT / "docs" / "performance.md").read_text()) == rendered


def test_rewriting_replaces_only_the_block(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{ENGINES.begin}\nold\n{ENGINES.end}\nafter\n")
    ENGINES.rewrite(page, ROOT / "benchmarks" / "results")
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old\n" not in text
    assert ENGINES.text_in(text) == ENGINES.render_all(ROOT / "benchmarks" / "results").strip()


def test_operations_count_the_products_of_a_step():
    engines = pytest.importorskip("engines")
    population = engines.tiles(1)
    products = 4 * 32 * 32 * 3 + 10 * 32
    assert engines.operations(population, weighted=False) == 32 * 50 * (6 * products + 4 * 128 * 16)
    languages = engines.languages(2)
    assert engines.operations(languages, weighted=True) < engines.operations(languages, weighted=False) / 3
