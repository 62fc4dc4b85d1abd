"""docs/publishing.md, from its first command to its last, on the tests' own Hub."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from hub_answers import Account
from loopback_hub import Hub

import rnnzoo

PAGE = Path(__file__).resolve().parent.parent / "docs" / "publishing.md"
SHORTENED = {"build": ["--dry-run"], "extend": ["--models", "8"]}
COMMANDS = """
import json, sys
from rnnzoo.cli.main import cli
for words in json.loads(sys.argv[1]):
    cli.main(words, standalone_mode=False)
"""


@pytest.mark.slow
def test_every_block_runs_where_the_one_before_left_off(hub: Hub, built_folder: Path, tmp_path: Path) -> None:
    """In processes that know of the Hub by their environment alone."""
    hub.accounts["hf_me"] = Account("me")
    shutil.copytree(built_folder, tmp_path / "zoos" / "languages")
    printed = []
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(), flags=re.M | re.S)
    for language, run in itertools.groupby(blocks, key=lambda block: block[0]):
        text = "".join(text for _, text in run)
        commands = [shlex.split(line)[1:] for line in ([] if language else text.splitlines())]
        given = json.dumps([words + SHORTENED.get(words[0], []) for words in commands])
        done = hub.python(text if language else COMMANDS, given, home=tmp_path, token="hf_me")
        assert done.returncode == 0, (text, done.stderr)
        printed.append(done.stdout.splitlines())

    repository, old = hub.repositories["me/languages"], rnnzoo.load(built_folder)
    assert len(repository.commits) == 3
    first, second = repository.tags["v1"], repository.tags["v2"]
    assert repository.branches == {"main": second}
    for tag, folder in (("v1", "languages"), ("v2", "languages-24")):
        manifest = (tmp_path / "zoos" / folder / "manifest.json").read_bytes()
        assert repository.files(tag)["manifest.json"] == manifest

    pushed, used, pulled, loaded = printed
    assert any("README.md" in line for line in pushed)
    assert any(first in line for line in pushed)
    train = old.split("train")
    assert used[:2] == [f"{first} ()", f"{len(train)} {len(train)} {train[0]['model_id']}"]
    assert any(line.startswith("ood_test") for line in used)
    assert any("me/languages" in line for line in pulled)
    assert any(second in line for line in pulled)
    assert loaded == [f"{first} {len(old)} {second} {len(old) * 8 // 6}"]
