"""croissant.json is what MLCommons' own library takes, lists what the manifest does, and leads to the labels."""

from __future__ import annotations

import json
from pathlib import Path

import mlcroissant
import numpy as np
import pytest

from rnnzoo.zoo.cards import repository_texts
from rnnzoo.zoo.zoo import Zoo, load

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated")]


@pytest.fixture(params=["built_folder", "digit_folder"])
def zoo(request: pytest.FixtureRequest) -> Zoo:
    return load(request.getfixturevalue(request.param))


def described(zoo: Zoo, out: Path, **words: str) -> tuple[dict, mlcroissant.Dataset]:
    """What is written, and how the library reads it, with the zoo's own files in place of those on the Hub."""
    path = out / "croissant.json"
    path.write_bytes(repository_texts(zoo, "rnnzoo/some.zoo-1", **words)["croissant.json"])
    files = {file.path: zoo.folder / file.path for file in zoo.manifest.listed_files}
    return json.loads(path.read_text()), mlcroissant.Dataset(path, mapping=files)


def test_it_is_valid_and_says_what_is_asked_for(zoo: Zoo, tmp_path: Path) -> None:
    written, dataset = described(zoo, tmp_path)
    issues = dataset.metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())
    assert dataset.metadata.name == "some.zoo-1"
    asked = ("data_collection", "data_collection_type", "data_biases", "data_limitations", "data_use_cases")
    for name in (*asked, "personal_sensitive_information", "cite_as", "description", "date_created", "license"):
        assert getattr(dataset.metadata, name), name
    assert written["description"].startswith("6 recurrent networks")
    assert all(text[-1] == "." for text in written["rai:dataLimitations"])


def test_it_lists_the_manifests_files(zoo: Zoo, tmp_path: Path) -> None:
    written, _ = described(zoo, tmp_path, revision="v1")
    listed = {
        (file["@id"], file["contentSize"], file["sha256"], file["contentUrl"].partition("/datasets/")[2])
        for file in written["distribution"]
    }
    assert listed == {
        (file.path, f"{file.size} B", file.sha256, f"rnnzoo/some.zoo-1/resolve/v1/{file.path}")
        for file in zoo.manifest.listed_files
    }


def test_its_records_are_the_labels(zoo: Zoo, tmp_path: Path) -> None:
    written, dataset = described(zoo, tmp_path)
    (labels,) = written["recordSet"]
    columns = [column for column in zoo.columns if not column.trace and column.name != "weights"]
    assert [field["name"] for field in labels["field"]] == [*(column.name for column in columns), "split"]
    assert all(field["description"] for field in labels["field"])
    records = list(dataset.records("labels"))
    assert len(records) == len(zoo)
    by_key = {(record["labels/model_id"], record["labels/step"]): record for record in records}
    for row in (zoo[0], zoo[len(zoo) - 1]):
        record = by_key[row.model_id, row.step]
        assert record["labels/split"].decode() == row.split
        for column in columns:
            assert np.array_equal(record[f"labels/{column.name}"], row[column.name], equal_nan=True), column.name
