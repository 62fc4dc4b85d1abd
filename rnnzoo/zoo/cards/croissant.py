"""croissant.json: what a repository holds, for programs that know datasets by the Croissant format of MLCommons.

Croissant 1.1 and the Responsible AI vocabulary 1.0. Croissant knows no HDF5: shards are listed as files, and records
are those of the table of labels. Sentences are the card's, so that both say the same.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from rnnzoo.format.manifest import LABEL_TABLE, LabelFile, Manifest, ShardFile
from rnnzoo.format.schema import Column, label_columns

CROISSANT = "croissant.json"
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "containedIn": "cr:containedIn",
    "equivalentProperty": "cr:equivalentProperty",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""As the specification of version 1.1 has it."""
NUMBERS = {"i": "Int", "u": "UInt", "f": "Float"}
FORMATS = {".h5": "application/x-hdf5", ".parquet": "application/x-parquet"}


def croissant(manifest: Manifest, repository: str, revision: str, card: str) -> dict[str, Any]:
    """The contents of croissant.json.

    Args:
        manifest: of the zoo that is published.
        repository: its name on the Hub, `namespace/name`.
        revision: branch or tag at which these very files will be found.
        card: the repository's card.
    """
    from huggingface_hub import constants

    url = f"{constants.ENDPOINT}/datasets/{repository}"
    namespace, _, name = repository.rpartition("/")
    limits, uses = _points(card, "Limits"), _points(card, "Intended use")
    created = manifest.provenance.get("created")
    described = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": name,
        "description": _paragraph(re.split(r"^# .*\n", card, maxsplit=1, flags=re.M)[-1]),
        "url": url,
        "license": "https://spdx.org/licenses/Apache-2.0.html",
        "creator": {"@type": "sc:Organization", "name": namespace, "url": f"{constants.ENDPOINT}/{namespace}"},
        "version": f"{manifest.schema_version}.{manifest.schema_minor_version}.0+{manifest.recipe_hash[:16]}",
        "dateCreated": created,
        "datePublished": created,
        "keywords": ["model zoo", "weight-space learning", "recurrent neural network", manifest.network.cell],
        "citeAs": _section(card, "Citation").removeprefix("```bibtex\n").removesuffix("\n```"),
        "rai:dataCollection": _paragraph(_section(card, "How it was made")),
        "rai:dataCollectionType": ["Experiments"],
        "rai:dataBiases": limits[:1],
        "rai:dataLimitations": limits,
        "rai:dataUseCases": uses[:-1],
        "rai:personalSensitiveInformation": uses[-1:],
        "distribution": [_file(file, f"{url}/resolve/{revision}") for file in manifest.listed_files],
        "recordSet": [_labels(manifest)] if manifest.label_files else [],
    }
    # A card of another template may lack sections, and a manifest the time.
    return {name: value for name, value in described.items() if value}


def _file(listed: ShardFile | LabelFile, folder: str) -> dict[str, Any]:
    """A file that the manifest lists."""
    return {
        "@type": "cr:FileObject",
        "@id": listed.path,
        "name": listed.path,
        "contentUrl": f"{folder}/{listed.path}",
        "contentSize": f"{listed.size} B",
        "encodingFormat": FORMATS[PurePosixPath(listed.path).suffix],
        "sha256": listed.sha256,
    }


def _labels(manifest: Manifest) -> dict[str, Any]:
    """The table of labels: their columns, and the split."""
    fields = [_field(column) for column in label_columns(manifest.columns)]
    split = {"dataType": "sc:Text", "description": f"the split of the row: {', '.join(manifest.splits)}"}
    return {
        "@type": "cr:RecordSet",
        "@id": "labels",
        "name": "labels",
        "description": "What is known of each snapshot of each network, without its weights and recordings.",
        "key": [{"@id": "labels/model_id"}, {"@id": "labels/step"}],
        "field": [*fields, _named("split") | split],
    }


def _field(column: Column) -> dict[str, Any]:
    dtype = np.dtype(column.dtype)
    unit = f" ({column.unit})" if column.unit else ""
    field = _named(column.name) | {
        "dataType": f"cr:{NUMBERS[dtype.kind]}{8 * dtype.itemsize}" if dtype.kind in NUMBERS else "sc:Boolean",
        "description": f"{column.description}{unit}",
    }
    return field | ({"isArray": True, "arrayShape": ",".join(map(str, column.shape))} if column.shape else {})


def _named(name: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"labels/{name}",
        "name": name,
        "source": {"fileObject": {"@id": LABEL_TABLE}, "extract": {"column": name}},
    }


def _section(card: str, heading: str) -> str:
    """What stands below a heading of a card, "" where there is no such heading."""
    found = re.search(rf"^## {heading}\n+(.*?)\s*(?=^## |\Z)", card, flags=re.M | re.S)
    return found[1] if found else ""


def _paragraph(text: str) -> str:
    """The first paragraph, on one line."""
    return " ".join(text.lstrip().split("\n\n")[0].split())


def _points(card: str, heading: str) -> list[str]:
    """The points of a list below a heading, each on one line."""
    return [" ".join(point.split()) for point in re.split(r"^- ", _section(card, heading), flags=re.M)[1:]]
