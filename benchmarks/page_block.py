"""The part of a page that a benchmark writes: everything between its two markers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PageBlock:
    """A block of a page, made of result files.

    Attributes:
        name: what it shows, as its markers say.
        script: what writes it.
        pattern: names of the result files.
        render: one result file as Markdown.
    """

    name: str
    script: str
    pattern: str
    render: Callable[[Path], str]

    @property
    def begin(self) -> str:
        """The marker above it."""
        return f"<!-- {self.name}: begin, written by benchmarks/{self.script} --document -->"

    @property
    def end(self) -> str:
        """The marker below it."""
        return f"<!-- {self.name}: end -->"

    def render_all(self, folder: Path) -> str:
        """Every result in a folder, by file name."""
        return "\n\n".join(self.render(path).strip() for path in sorted(folder.glob(self.pattern)))

    def text_in(self, page: str) -> str:
        """What stands between the markers."""
        return page.partition(self.begin)[2].partition(self.end)[0].strip()

    def rewrite(self, page: Path, folder: Path) -> None:
        """Replace what stands between the markers by what the results say."""
        before, _, rest = page.read_text().partition(self.begin)
        after = rest.partition(self.end)[2]
        page.write_text(f"{before}{self.begin}\n\n{self.render_all(folder).strip()}\n\n{self.end}{after}")


def of_json(render: Callable[[dict], str]) -> Callable[[Path], str]:
    """What renders a JSON file, from what renders its data."""
    return lambda path: render(json.loads(path.read_text()))
