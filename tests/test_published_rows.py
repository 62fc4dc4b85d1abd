"""A published zoo through `load_dataset` and pandas, where rnnzoo is not installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from loopback_hub import Hub

from rnnzoo.format.manifest import MANIFEST, read_manifest
from rnnzoo.zoo.cards import repository_texts
from rnnzoo.zoo.zoo import Zoo, load

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

NAME = "rnnzoo/published"
WITHOUT_RNNZOO = """
import json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("rnnzoo", "torch"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocker())
from datasets import load_dataset
import pandas

name = sys.argv[1]
"""
READER = (
    WITHOUT_RNNZOO
    + """
def told(splits):
    found = {}
    for split, rows in splits.items():
        table = [dict(row) for row in rows]
        weights = [sum(row.get("weights", [])) for row in table]
        found[split] = [sorted(table[0]), [row["step"] for row in table], weights]
    return found

print(json.dumps({
    "whole": told(load_dataset(name)),
    "weights": told(load_dataset(name, "weights")),
    "labels": told(load_dataset(name, "labels")),
    "whole, streamed": told(load_dataset(name, streaming=True)),
    "labels, streamed": told(load_dataset(name, "labels", streaming=True)),
    "tag": told(load_dataset(name, revision="v1")),
    "labels of tag": told(load_dataset(name, "labels", revision="v1")),
    "one file": told(load_dataset(name, data_files="data/validation-00000-of-00001.h5")),
    "table": pandas.read_parquet(f"hf://datasets/{name}/labels.parquet")[["split", "step"]].values.tolist(),
    "table of tag": pandas.read_parquet(f"hf://datasets/{name}@v1/labels.parquet")[["split", "step"]].values.tolist(),
}))
"""
)


def published(folder: Path) -> dict[str, bytes]:
    """What a repository holds of a zoo."""
    manifest = read_manifest(folder)
    paths = [MANIFEST, *(file.path for file in manifest.listed_files)]
    return {path: (folder / path).read_bytes() for path in paths} | repository_texts(load(folder), NAME)


def expected(zoo: Zoo, config: str = "default") -> dict[str, list[list[object]]]:
    """What the reader should tell of a zoo."""
    found: dict[str, list[list[object]]] = {}
    for split in zoo.manifest.splits:
        rows = zoo.split(split)
        columns = [c.name for c in zoo.columns if config == "default" or not c.trace]
        if config == "labels":
            columns.remove("weights")
        weights = [sum(map(float, row)) for row in rows["weights"]] if "weights" in columns else [0] * len(rows)
        found[split] = [sorted(columns), rows["step"].tolist(), weights]
    return found


def table(zoo: Zoo) -> list[list[object]]:
    return [list(pair) for pair in zip(zoo.split_of().tolist(), zoo["step"].tolist(), strict=True)]


def test_every_configuration_by_name_streamed_and_of_a_revision(hub: Hub, built_folder: Path, tmp_path: Path) -> None:
    kept = ROOT / "tests" / "kept_zoos" / "formal-languages-2.1"
    repository = hub.create(NAME, published(kept))
    repository.tags["v1"] = repository.branches["main"]
    gone = dict.fromkeys(set(published(kept)) - set(published(built_folder)))
    repository.commit({**published(built_folder), **gone, "croissant.json": b"{}", "plots/accuracy.png": b"x"})
    done = hub.python(READER, NAME, home=tmp_path / "home", USE_TORCH="0")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    now, before = load(built_folder), load(kept)
    assert found == {
        "whole": expected(now),
        "weights": expected(now, "weights"),
        "labels": expected(now, "labels"),
        "whole, streamed": expected(now),
        "labels, streamed": expected(now, "labels"),
        "tag": expected(before),
        "labels of tag": expected(before, "labels"),
        "one file": {"train": expected(now)["validation"]},
        "table": table(now),
        "table of tag": table(before),
    }


def test_readers_fetch_no_more_than_they_need(tmp_path: Path) -> None:
    """The bytes are those of rows as large as the paper's, 100 recorded rollouts each."""
    from loading import write_zoo
    from wire import fetched

    write_zoo(tmp_path / "zoo", models=40, recorded=100)
    shares = fetched(tmp_path / "zoo", tmp_path / "home")
    assert shares["every row, streamed"] <= 1.1
    assert shares["first row, streamed"] < 0.9
    for what in ("`labels`, downloaded", "every row of `labels`, streamed", "labels.parquet through pandas"):
        assert 0 < shares[what] <= 0.02
    assert shares["`weights`, downloaded"] == pytest.approx(1, abs=0.01)
