"""The encoder page against the code; `test_documentation` runs its snippets as printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rnnzoo.emulation.config import PROFILES
from rnnzoo.emulation.data import load_data
from rnnzoo.emulation.trainer import EmulationTraining
from rnnzoo.encoders import encoder_names
from rnnzoo.encoders.registry import CONTROLS
from rnnzoo.zoo.zoo import Zoo

PAGE = (Path(__file__).parents[1] / "docs" / "encoders.md").read_text()


def test_the_page_lists_every_encoder() -> None:
    listed, timed = (re.findall(r"^\| `([a-z-]+)` \|", part, flags=re.MULTILINE) for part in PAGE.split("## Speed"))
    assert listed == [*encoder_names(), *CONTROLS]
    assert set(timed) == set(encoder_names())


def test_the_pages_own_encoder_trains(zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "echo_page.py").write_text(re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)[0])
    monkeypatch.syspath_prepend(tmp_path)
    training = EmulationTraining(load_data(zoo), "echo_page:EchoEncoder", PROFILES["quick"])
    training.run(until=3)
    assert training.encoder.embed(zoo).shape == (len(zoo), 16)
