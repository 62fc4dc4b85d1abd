"""Bytes that `datasets` and pandas fetch of a published zoo, counted by the tests' own Hub on 127.0.0.1."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import unquote

from rnnzoo.format.manifest import MANIFEST, read_manifest
from rnnzoo.zoo.cards import repository_texts
from rnnzoo.zoo.zoo import load

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from loopback_hub import Hub, loopback_hub

NAME = "rnnzoo/measured"
CLIENT = """
import os, urllib.error, urllib.parse, urllib.request

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("rnnzoo", "torch"):
            raise ModuleNotFoundError(name)

import sys
sys.meta_path.insert(0, Blocker())
from datasets import load_dataset
import pandas

def begin(what):
    try:
        urllib.request.urlopen(f"{os.environ['HF_ENDPOINT']}/begin/{urllib.parse.quote(what)}")
    except urllib.error.HTTPError:
        pass

def passed(config=None):
    for rows in load_dataset(name, config, streaming=True).values():
        for row in rows.with_format("arrow"):
            pass

name = sys.argv[1]
begin("first row, streamed")
next(iter(load_dataset(name, split="train", streaming=True)))
begin("every row, streamed")
passed()
begin("every row of `weights`, streamed")
passed("weights")
begin("every row of `labels`, streamed")
passed("labels")
begin("`labels`, downloaded")
load_dataset(name, "labels")
begin("labels.parquet through pandas")
pandas.read_parquet(f"hf://datasets/{name}/labels.parquet")
begin("`weights`, downloaded")
load_dataset(name, "weights")
"""
"""What is done, each after telling the Hub what begins; without rnnzoo, as whoever has only `datasets` and h5py."""


def fetched(folder: Path, home: Path) -> dict[str, float]:
    """Bytes fetched for each thing a reader does, over the bytes of the zoo's shards.

    Args:
        folder: of a zoo.
        home: an empty folder for the reader's caches.
    """
    with loopback_hub() as hub:
        publish(hub, folder)
        done = hub.python(CLIENT, NAME, home=home, USE_TORCH="0")
        if done.returncode:
            raise RuntimeError(done.stderr)
        found: dict[str, float] = {}
        what = ""
        for request in hub.requests:
            if request.path.startswith("/begin/"):
                what = unquote(request.path.removeprefix("/begin/"))
            elif what:
                found[what] = found.get(what, 0) + request.sent
    size = read_manifest(folder).size
    return {what: sent / size for what, sent in found.items()}


def publish(hub: Hub, folder: Path) -> None:
    """Put a zoo into a repository of a Hub."""
    manifest = read_manifest(folder)
    paths = [MANIFEST, *(file.path for file in manifest.listed_files)]
    hub.create(NAME, {path: (folder / path).read_bytes() for path in paths} | repository_texts(load(folder), NAME))
