"""Dataset cards: what they say is so, and every snippet and command in them runs."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from datasets import load_dataset
from loopback_hub import Hub
from synthetic_results import write_results

from rnnzoo.benchmark.report.style import label
from rnnzoo.cli.main import cli
from rnnzoo.errors import UsageError
from rnnzoo.format.manifest import read_manifest
from rnnzoo.generation.recipe_command import command_of
from rnnzoo.version import __version__
from rnnzoo.zoo.cards import render_card, repository_texts
from rnnzoo.zoo.cards.card import batch_dtype
from rnnzoo.zoo.cards.markdown_text import escape
from rnnzoo.zoo.zoo import Zoo, load

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "tests" / "kept_zoos"
MOST_BYTES = 100_000
"""Of a picture."""


CROISSANT = """
import mlcroissant
records = mlcroissant.Dataset("{address}").records("labels")
print("last record of", [record["labels/split"].decode() for record in records][-1])
"""
"""Reads the labels by the addresses that croissant.json has, and compares their checksum."""


def blocks(card: str, language: str) -> list[str]:
    """The code of a language in a card."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", card, flags=re.M | re.S)
    return [text for found, text in fenced if found == language]


def section(card: str, heading: str) -> str:
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", card, flags=re.M | re.S)
    assert found, heading
    return found[1]


def rows(table: str) -> list[list[str]]:
    """The cells of a Markdown table's lines."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]


@pytest.fixture(params=["built_folder", "digit_folder"])
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def test_the_snippets_and_commands_in_a_folders_card_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Beside the folder, as the card says; what the command builds is another test's."""
    (tmp_path / folder.name).symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    card = (folder / "README.md").read_text()
    snippets = blocks(card, "python")
    assert len(snippets) == 7
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), {})
    build, rebuild = "".join(blocks(card, "")).splitlines()
    assert build == command_of(load(folder).manifest.recipe)
    result = CliRunner().invoke(cli, shlex.split(rebuild)[1:], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def test_the_snippets_of_a_published_card_run(hub: Hub, built_folder: Path, digit_folder: Path, tmp_path: Path) -> None:
    """Where nothing is but the Hub."""
    snippets = []
    for name, folder in (("rnnzoo/languages", built_folder), ("rnnzoo/digits", digit_folder)):
        zoo = load(folder)
        texts = repository_texts(zoo, name)
        texts["croissant.json"] = texts["croissant.json"].replace(b"https://huggingface.co", hub.address.encode())
        listed = ["manifest.json", *(file.path for file in zoo.manifest.listed_files)]
        hub.create(name, texts | {path: (folder / path).read_bytes() for path in listed})
        snippets += blocks(texts["README.md"].decode(), "python")
        snippets.append(CROISSANT.format(address=f"{hub.address}/datasets/{name}/resolve/main/croissant.json"))
    assert len(snippets) == 18
    program = "import json, sys\nfor snippet in json.loads(sys.argv[1]):\n    exec(snippet, {})"
    done = hub.python(program, json.dumps(snippets), home=tmp_path / "reader")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("last record of ood_test") == 2


def test_its_dtypes_are_those_that_batches_have(folder: Path, tmp_path: Path) -> None:
    zoo = load(folder)
    stored = load_dataset(str(folder), split="train", cache_dir=str(tmp_path))
    for form in ("numpy", "torch"):
        batch = stored.with_format(form)[:2]
        dtypes = {name: str(values.dtype).removeprefix("torch.") for name, values in batch.items()}
        assert dtypes == {column.name: batch_dtype(column) for column in zoo.columns}
    table = rows(section((folder / "README.md").read_text(), "Columns"))[2:]
    said = {row[0].strip("`"): (row[1], row[2]) for row in table[: len(zoo.columns)]}
    assert said == {column.name: (column.dtype, batch_dtype(column)) for column in zoo.columns}


def test_its_numbers_are_the_zoos(folder: Path) -> None:
    zoo = load(folder)
    metrics = zoo.kind.metrics
    shown = rows(section((folder / "README.md").read_text(), "Statistics"))
    table = {row[0]: row[1:] for row in shown[2:5]}
    for split, counts in zoo.manifest.splits.items():
        last = zoo.split(split).at_step(zoo.snapshots[-1])
        models, *quantiles, diverged = table[split]
        assert (int(models), int(diverged)) == (counts["models"], int(last["diverged"].sum()))
        expected = np.quantile(last[metrics[0]].astype(np.float64), (0.05, 0.25, 0.5, 0.75, 0.95))
        assert [float(value) for value in quantiles] == pytest.approx(expected, rel=1e-3)
    for row in shown[-len(zoo.snapshots) :]:
        expected = [zoo.at_step(int(row[0]))[metric].mean(dtype=np.float64) for metric in metrics]
        assert [float(value) for value in row[1:-1]] == pytest.approx(expected, rel=1e-3)


def test_diverged_networks_are_counted_and_left_out_of_means(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Zoo.column

    def with_one_diverged(self: Zoo, name: str) -> np.ndarray:
        values = read(self, name)
        if name in ("diverged", "train_loss"):
            values = values.copy()
            values[read(self, "model_id") == 0] = True if name == "diverged" else np.nan
        return values

    monkeypatch.setattr(Zoo, "column", with_one_diverged)
    card = render_card(zoo, "zoo")
    assert f"marked by `diverged`; there are {len(zoo.snapshots)}." in card
    means = rows(section(card, "Statistics"))[-1]
    kept = zoo.at_step(zoo.snapshots[-1])["train_loss"]
    assert means[-1] == "1"
    assert float(means[-2]) == pytest.approx(np.nanmean(kept), rel=1e-3)
    assert repository_texts(zoo, "rnnzoo/zoo")["pictures/training.png"]


def test_pictures_are_small_and_the_same_each_time(folder: Path) -> None:
    zoo = load(folder)
    texts = repository_texts(zoo, "rnnzoo/zoo")
    again = repository_texts(load(folder), "rnnzoo/zoo")
    assert texts == again
    card = texts["README.md"].decode()
    pictures = re.findall(r"^!\[[^\]]+\]\(([^)]+)\)$", card, flags=re.M)
    assert (
        pictures
        == [path for path in texts if path.endswith(".png")]
        == ["pictures/training.png", "pictures/labels.png"]
    )
    for path in pictures:
        assert len(texts[path]) < MOST_BYTES


@pytest.mark.parametrize("name", ["formal-languages-2.0", "smnist-2.1"])
def test_a_kind_that_is_not_installed_has_a_card_all_the_same(name: str, forget: Callable[[str], None]) -> None:
    kind = load(KEPT / name).manifest.zoo
    forget(kind)
    zoo = load(KEPT / name)
    texts = repository_texts(zoo, "rnnzoo/zoo", command=command_of(zoo.manifest.recipe))
    card = texts["README.md"].decode()
    assert f"# {kind}: 3 recurrent networks" in card
    assert f"rnnzoo build {kind}" not in card
    assert "## Baselines" not in card
    for column in zoo.columns:
        assert f"| `{column.name}` |" in card
    assert {"pictures/training.png", "pictures/labels.png"} < texts.keys()


def test_a_template_of_ones_own_that_fails_is_named(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    for template in ("{{ moon }}", '{% extends "moon.md" %}', "{% block %}"):
        monkeypatch.setattr(type(zoo.kind), "card_template", lambda self, template=template: template)
        with pytest.raises(UsageError, match="card of formal-languages cannot be written: its template fails"):
            render_card(zoo, "zoo")


def test_text_of_strangers_stays_text(built_folder: Path) -> None:
    evil = "a | b <img src=x> `c`"
    manifest = read_manifest(built_folder)
    columns = (dataclasses.replace(manifest.columns[0], description="one\n## Two | three"), *manifest.columns[1:])
    provenance = {**manifest.provenance, "device": evil}
    altered = dataclasses.replace(manifest, columns=columns, provenance=provenance)
    card = render_card(Zoo(built_folder, altered), "zoo")
    assert escape(evil) in card
    assert "\n## Two" not in card
    assert "one \\#\\# Two \\| three" in card


def test_it_names_what_to_cite(built_folder: Path) -> None:
    card = (built_folder / "README.md").read_text()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    (bibtex,) = blocks(card, "bibtex")
    (paper,) = citation["references"]
    assert f"title = {{{citation['title']}}}" in bibtex
    assert f"author = {{{{{citation['authors'][0]['name']}}}}}" in bibtex
    assert f"version = {{{__version__}}}" in bibtex
    assert f"title = {{{paper['title']}}}" in bibtex
    assert paper["identifiers"][0]["value"].removeprefix("arXiv:") in bibtex
    for author in paper["authors"]:
        assert author["family-names"] in bibtex


def test_baselines_come_from_results_of_this_zoo(built_folder: Path, tmp_path: Path) -> None:
    results = write_results(tmp_path / "results", encoders=("constant", "labels", "flat"), seeds=2)
    command = ["card", str(built_folder), "--repository", "rnnzoo/languages", "--results", str(results)]
    refused = CliRunner().invoke(cli, command)
    assert refused.exit_code != 0
    assert "results of a zoo with recipe 5f2c5f2c5f2c5f2c" in str(refused.exception)
    recipe_hash = load(built_folder).manifest.recipe_hash
    lines = (results / "runs.jsonl").read_text().replace("5f2c" * 16, recipe_hash)
    (results / "runs.jsonl").write_text(lines)
    card = CliRunner().invoke(cli, command, catch_exceptions=False).output
    assert f"| {escape(label('flat'))} |" in section(card, "Baselines")
    assert "## Baselines" not in (built_folder / "README.md").read_text()
    push = ["push", str(built_folder), "rnnzoo/languages", "--results", str(results), "--dry-run"]
    planned = CliRunner().invoke(cli, push, catch_exceptions=False).output
    assert f"| {escape(label('flat'))} |" in section(planned, "Baselines")


def test_the_command_writes_what_a_repository_would_have(built_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "card"
    lonely = CliRunner().invoke(cli, ["card", str(built_folder), "--out", str(out)])
    assert "add --repository" in str(lonely.exception)
    nameless = CliRunner().invoke(cli, ["card", str(built_folder), "--repository", "zoo", "--out", str(out)])
    assert "give namespace/name" in str(nameless.exception)
    assert not out.exists()
    written = CliRunner().invoke(
        cli, ["card", str(built_folder), "--repository", "rnnzoo/zoo", "--out", str(out)], catch_exceptions=False
    )
    assert written.exit_code == 0
    zoo = load(built_folder)
    texts = repository_texts(zoo, "rnnzoo/zoo", command=command_of(zoo.manifest.recipe))
    assert {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.*")} == texts
    assert "rnnzoo build formal-languages" in texts["README.md"].decode()
