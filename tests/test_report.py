"""The report of a benchmark, from results that never ran."""

from __future__ import annotations

import io
import itertools
import json
import re
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vl_convert
from browser import BROWSER, DRIVER, Browser, open_browser
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from synthetic_results import LOSSES, write_results

from rnnzoo.benchmark.estimates import Estimates
from rnnzoo.benchmark.report import collect_report, emulation_table, write_report
from rnnzoo.benchmark.report.charts import pictures
from rnnzoo.benchmark.report.contents import principal_components, read_points
from rnnzoo.benchmark.report.html import render_page
from rnnzoo.benchmark.report.style import STYLES, label
from rnnzoo.benchmark.results import Results, read_results
from rnnzoo.cli.main import cli
from rnnzoo.errors import RnnzooError
from rnnzoo.kinds.languages import describe_task
from rnnzoo.zoo.cards.markdown_text import escape

FEW = ("constant", "labels", "flat", "dwsnet", "interactive", "rollout-probing")
LARGEST_PAGE = 3_000_000
PUBLISHED = Path(__file__).resolve().parent.parent / "benchmarks" / "results"
needs_browser = pytest.mark.skipif(
    not (DRIVER.exists() and BROWSER.exists()),
    reason="opening the page needs Chromium: apt-get install chromium chromium-driver",
)


@pytest.fixture(scope="module")
def languages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results on formal-languages with their report; not to be changed."""
    folder = write_results(tmp_path_factory.mktemp("results") / "languages", encoders=FEW, seeds=2, models=20)
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results on smnist with their report; not to be changed."""
    folder = write_results(tmp_path_factory.mktemp("results") / "digits", "smnist", FEW[2:], seeds=1, models=20)
    write_report(folder)
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Results of three encoders that a test may damage."""
    return write_results(tmp_path / "results", encoders=("flat", "dwsnet", "interactive"), seeds=2, models=3)


@given(st.integers(0, 2**32 - 1))
def test_principal_components_agree_with_eigenvectors_of_the_covariance(seed: int) -> None:
    random = np.random.default_rng(seed)
    z = random.standard_normal((40, 5)) * (3.0, 2.0, 1.0, 0.5, 0.25) @ np.linalg.qr(random.standard_normal((5, 5)))[0]
    projected, variance = principal_components(z)
    values, vectors = np.linalg.eigh(np.cov(z.T, bias=True))
    centred = z - z.mean(axis=0)
    for number in range(2):
        expected = centred @ vectors[:, -1 - number]
        np.testing.assert_allclose(np.abs(projected[:, number]), np.abs(expected), atol=1e-8)
        assert variance[number] == pytest.approx(values[-1 - number] / values.sum())
    np.testing.assert_array_equal(principal_components(z)[0], projected)


def test_an_embedding_of_one_number_has_an_empty_second_component() -> None:
    projected, variance = principal_components(np.array([[1.0], [2.0], [4.0]]))
    np.testing.assert_allclose(projected[:, 1], 0)
    assert variance == pytest.approx((1, 0))


def _spoil(record: dict[str, Any], spoiled: str) -> str:
    if spoiled == "half a line":
        return json.dumps(record)[:100]
    changes = {
        "no seed": {"seed": None},
        "no zoo": {"zoo": "formal-languages"},
        "metrics": {"metrics": {"validation": {"kl": "low"}}},
        "elsewhere": {"run": "../../elsewhere"},
        "not an object": {},
    }
    return "[1]" if spoiled == "not an object" else json.dumps(record | changes[spoiled])


@pytest.mark.parametrize("spoiled", ["half a line", "no seed", "no zoo", "metrics", "elsewhere", "not an object"])
def test_a_damaged_line_is_named(small: Path, spoiled: str) -> None:
    path = small / "runs.jsonl"
    lines = path.read_text().splitlines()
    lines[2] = _spoil(json.loads(lines[2]), spoiled)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(RnnzooError, match=r"runs\.jsonl, line 3 is damaged"):
        read_results(small)


def test_without_runs_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(RnnzooError, match="rnnzoo eval"):
        read_results(tmp_path)
    (tmp_path / "runs.jsonl").write_text("\n")
    with pytest.raises(RnnzooError, match="no finished runs"):
        read_results(tmp_path)


@pytest.mark.parametrize("name", ["rows.npz", "probes.npz", "curve.json"])
def test_a_damaged_file_of_a_run_is_named(small: Path, name: str) -> None:
    path = small / "runs" / "emulation" / "interactive" / "seed-0" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RnnzooError, match=f"{re.escape(str(path))} is damaged"):
        collect_report(read_results(small))


def _set_losses(folder: Path, losses: dict[str, list[float]]) -> Results:
    """Change the validation total variation of encoders, seed by seed, of the same amount in every row."""
    path = folder / "runs.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        if record["kind"] == "emulation" and record["encoder"] in losses:
            wanted = losses[record["encoder"]][record["seed"]]
            record["metrics"]["validation"]["total_variation"] = wanted
            rows = folder / "runs" / record["run"] / "rows.npz"
            with np.load(rows) as file:
                arrays = dict(file)
            chosen = arrays["split"] == "validation"
            arrays["total_variation"][chosen] += wanted - arrays["total_variation"][chosen].mean()
            np.savez(rows, **arrays)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return read_results(folder)


def test_the_table_ranks_marks_the_best_and_sets_rails_apart(tmp_path: Path) -> None:
    encoders = ("labels", "flat", "interactive", "constant", "dwsnet")
    folder = write_results(tmp_path / "results", encoders=encoders, seeds=2, models=2)
    results = _set_losses(folder, {"flat": [0.03, 0.03], "interactive": [0.05, 0.05], "dwsnet": [0.04, 0.04]})
    table = collect_report(results).emulation
    assert [line.encoder for line in table.lines] == ["constant", "flat", "dwsnet", "interactive", "labels"]
    assert [line.rail for line in table.lines] == [True, False, False, False, True]
    assert [line.cells[0].best for line in table.lines] == [False, True, False, False, False]
    paper = table.heads.index(("total variation ↓", "paper"))
    assert [line.cells[paper].text for line in table.lines][1:4] == ["0.045", "0.046", "0.015"]


def test_encoders_that_show_the_same_number_are_equally_good(small: Path) -> None:
    def marked(losses: dict[str, list[float]]) -> set[str]:
        table = collect_report(_set_losses(small, losses)).emulation
        return {line.encoder for line in table.lines if line.cells[0].best}

    same = [0.04, 0.04]
    assert marked({"flat": same, "dwsnet": same, "interactive": [0.05, 0.05]}) == {"flat", "dwsnet"}
    assert marked({"flat": same, "dwsnet": same, "interactive": same}) == set()


@pytest.mark.parametrize(
    ("interactive", "told"),
    [
        ([0.020, 0.021, 0.019], "interactive probing .* is below .* p < 0.001"),
        ([0.071, 0.070, 0.069], "interactive probing .* is above .* p < 0.001"),
        ([0.005, 0.090, 0.035], "interactive probing .* cannot be told apart"),
    ],
)
def test_the_sentence_on_probing_claims_what_a_paired_interval_supports(
    tmp_path: Path, interactive: list[float], told: str
) -> None:
    folder = write_results(tmp_path / "results", encoders=("flat", "dwsnet", "interactive"), seeds=3, models=30)
    results = _set_losses(folder, {"interactive": interactive, "flat": [0.04] * 3, "dwsnet": [0.09] * 3})
    sentence = collect_report(results).comparison
    assert re.search(told, sentence)
    assert ("cannot be told apart" in sentence) == ("cannot" in told)
    for part in ("flattened weights (0.0400", "30 networks and 3 seeds", "Holm's correction for 2 comparisons"):
        assert part in sentence


def test_without_losses_of_networks_or_with_a_single_seed_nothing_is_claimed(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "one", encoders=("flat", "interactive"), seeds=1, models=2)
    assert "single seed" in collect_report(read_results(folder)).comparison
    folder = write_results(tmp_path / "bare", encoders=("flat", "interactive"), seeds=3, models=2)
    shutil.rmtree(folder / "runs")
    report = collect_report(read_results(folder))
    assert "without the losses of single networks" in report.comparison
    assert "Student's" in report.emulation.meaning
    folder = write_results(tmp_path / "other", encoders=("flat",), seeds=2, models=2)
    assert "no emulation run of one that probes networks" in collect_report(read_results(folder)).comparison


def test_a_small_zoo_gets_a_warning_in_place_of_a_claim(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "results", encoders=("flat", "interactive"), seeds=2, models=4)
    path = folder / "runs.jsonl"
    path.write_text(path.read_text().replace('"train": 268', '"train": 99'))
    report = collect_report(read_results(folder))
    assert "learned from 99 networks" in report.comparison
    assert "below" not in report.comparison


def test_an_encoder_that_the_constant_beats_is_marked_and_never_best(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "results", encoders=("constant", "flat", "dwsnet"), seeds=2, models=4)
    results = _set_losses(folder, {"constant": [0.05] * 2, "flat": [0.06] * 2, "dwsnet": [0.07] * 2})
    lines = {line.encoder: line.cells[0] for line in collect_report(results).emulation.lines}
    assert [name for name, cell in lines.items() if "\u2020" in cell.text] == ["flat", "dwsnet"]
    assert not any(cell.best for cell in lines.values())


def test_what_the_profile_shrinks_is_told(languages: Path) -> None:
    differences = " ".join(collect_report(read_results(languages)).introduction)
    for told in ("optimizer steps: 1,000 (paper: 100,000)", "384 networks (paper: 1,000)", "2 seeds (paper: 15)"):
        assert told in differences
    for told in ("(paper: 256)", "z enters: every (paper: first)", "seeds 0, 1", "Intel(R) Xeon(R)"):
        assert told in differences
    assert "weight decay" not in differences


@pytest.mark.slow
def test_partial_results_give_a_report_that_says_what_is_missing(small: Path) -> None:
    path = small / "runs.jsonl"
    lines = path.read_text().splitlines()
    gone = {"emulation/interactive/seed-1", "downstream/flat/task/supervised/seed-0"}
    path.write_text("".join(line + "\n" for line in lines if json.loads(line)["run"] not in gone))
    (small / "runs/emulation/dwsnet/seed-1/rows.npz").unlink()
    failed = small / "runs/emulation/interactive/seed-1/error.txt"
    failed.write_text("Traceback\nValueError: <z> is not finite\n")
    page = write_report(small).read_text()
    for told in (
        "interactive probing, emulation: seed 1.",
        "flattened weights, task, supervised: seed 0.",
        "emulation/interactive/seed-1: ValueError: &lt;z&gt; is not finite",
        "runs/emulation/dwsnet/seed-1/rows.npz",
    ):
        assert told in page
    assert "interactive probing, emulation: seed 1." in (small / "report.md").read_text()


@pytest.mark.parametrize("published", sorted(PUBLISHED.glob("encoders-*")), ids=lambda folder: folder.name)
def test_published_results_are_read_from_their_lines_alone(published: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(published, tmp_path / "copy"))
    before = (copy / "runs.jsonl").read_bytes()
    done = CliRunner().invoke(cli, ["report", str(copy)], catch_exceptions=False)
    assert done.exit_code == 0
    assert (copy / "runs.jsonl").read_bytes() == before == (published / "runs.jsonl").read_bytes()
    page = (copy / "report.html").read_text()
    assert "flattened weights" in page
    (notice,) = re.findall(r'<aside id="missing">.*?</aside>', page, re.DOTALL)
    assert notice.count("<li>") == 1
    assert "Only the runs' numbers are here" in unescape(notice)


def test_a_report_of_nothing_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(RnnzooError, match="rnnzoo eval"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_records_count_where_there_are_some(small: Path) -> None:
    """An evaluation that was killed may have left records that runs.jsonl does not have yet."""
    lines = (small / "runs.jsonl").read_text()
    first = json.loads(lines.splitlines()[0])
    folder = small / "runs" / first["run"]
    (folder / "record.json").write_text(json.dumps(first | {"seconds": {"training": 3.0}}))
    (run,) = read_results(small).runs
    assert run.record["seconds"] == {"training": 3.0}
    assert (small / "runs.jsonl").read_text() == lines
    (folder / "record.json").write_text("{")
    with pytest.raises(RnnzooError, match=r"record\.json is damaged"):
        read_results(small)


def test_many_missing_files_are_one_sentence(small: Path) -> None:
    for path in small.rglob("curve.json"):
        path.unlink()
    missing = collect_report(read_results(small)).missing
    assert len(missing) == 1
    assert missing[0].startswith("Files missing: curve.json of 6 emulation runs, runs/emulation/")


def test_downstream_runs_alone_give_a_report(small: Path) -> None:
    path = small / "runs.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("".join(line + "\n" for line in lines if json.loads(line)["kind"] == "downstream"))
    assert "cannot be compared" in write_report(small).read_text()


def test_all_tables_hold_the_means_of_the_runs(languages: Path) -> None:
    results = read_results(languages)
    report = collect_report(results)
    for line in report.emulation.lines:
        found = Estimates(results).emulation(line.encoder, "validation", "total_variation")
        assert found is not None
        assert float(line.cells[0].text) == pytest.approx(found.mean, abs=5e-5)
    task = next(table for table in report.downstream if table.title.startswith("task"))
    flat = next(line for line in task.lines if line.encoder == "flat")
    columns = itertools.product(("frozen", "supervised"), ("validation", "ood_test"))
    for cell, (mode, split) in zip(flat.cells, columns, strict=True):
        values = [run.metrics[split]["exact"] for run in results.downstream("flat", "task", mode)]
        assert float(cell.text) == pytest.approx(np.mean(values), abs=5e-4)
    assert "higher is better" in task.meaning


def test_markdown_shows_pictures_that_exist(languages: Path) -> None:
    pictures = re.findall(r"!\[.*\]\((.*)\)", (languages / "report.md").read_text())
    assert len(pictures) == 6
    assert all((languages / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_markdown_tables_keep_their_shape(languages: Path) -> None:
    rows = [line for line in (languages / "report.md").read_text().splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {12, 6}


def test_the_table_fits_a_terminal(languages: Path) -> None:
    shown = Console(width=80, file=io.StringIO())
    shown.print(emulation_table(languages))
    text = shown.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    found = Estimates(read_results(languages)).emulation("flat", "validation", "total_variation")
    assert found is not None
    for value in (found.mean, found.low, found.high):
        assert f"{value:.4f}" in text


# Simulated at full strength, on linear RGB (Machado, Oliveira and Fernandes 2009).
COLOUR_VISIONS = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def _linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    x, y, z = np.cbrt(TO_XYZ @ np.clip(linear, 0.001, 1) / (0.9505, 1, 1.089))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize(("shade", "background"), [("light", "#ffffff"), ("dark", "#14171c")])
@pytest.mark.parametrize("vision", COLOUR_VISIONS)
def test_any_colour_vision_tells_encoders_apart(shade: str, background: str, vision: str) -> None:
    colours = [_linear(getattr(style, shade)) for style in STYLES.values()]
    seen = [_lab(np.array(COLOUR_VISIONS[vision]) @ colour) for colour in colours]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 12
    for colour in colours:
        darker, lighter = sorted((TO_XYZ[1] @ colour, TO_XYZ[1] @ _linear(background)))
        assert (lighter + 0.05) / (darker + 0.05) >= 3


@pytest.mark.slow
def test_names_cannot_become_markup(tmp_path: Path) -> None:
    evil = "package:</script><img src=x onerror=alert(1)>[red]|`*"
    folder = write_results(tmp_path / "results", encoders=("flat", "interactive"), seeds=2, models=2)
    path = folder / "runs.jsonl"
    path.write_text(path.read_text().replace('"encoder": "flat"', f'"encoder": {json.dumps(evil)}'))
    page = write_report(folder).read_text().replace(vl_convert.javascript_bundle(), "")
    assert "<img" not in page
    assert page.count("</script>") == 3
    markdown = (folder / "report.md").read_text()
    assert escape(evil) in markdown
    assert "<img" not in markdown.replace(r"\<img", "")
    shown = Console(width=400, file=io.StringIO())
    shown.print(emulation_table(folder))
    assert evil in shown.file.getvalue()  # type: ignore[attr-defined]


def test_the_page_stays_small(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "results", encoders=tuple(LOSSES), seeds=3, models=112)
    results = read_results(folder)
    points = read_points(results)
    assert {found.encoder for found in points} == set(LOSSES)
    assert all(len(found.total_variation) <= 2000 < found.rows_in_all for found in points)
    assert len(render_page(collect_report(results)).encode()) < LARGEST_PAGE


@pytest.mark.slow
@needs_browser
def test_the_page_works_in_a_browser(languages: Path, digits: Path, tmp_path: Path) -> None:
    with open_browser(tmp_path) as browser:
        for colours in ("light", "dark"):
            browser.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": colours}])
            _check_page(browser, languages, "rollout-probing", describe_task)
            _check_page(browser, digits, "rollout-probing", lambda task: f"{task:.1f}°")


def _check_page(browser: Browser, folder: Path, encoder: str, describe: Callable[[Any], str]) -> None:
    """No complaint, no request, all pictures drawn, every menu works, and a hover tells the network under the mouse."""
    page = folder / "report.html"
    browser.open(page)
    expected = {picture.name for picture in pictures(collect_report(read_results(folder)))}
    assert browser.run("return window.drawn.then((all) => all.length)") == len(expected)
    drawn = browser.run("return [...document.querySelectorAll('figure:has(canvas) .wide > div')].map((e) => e.id)")
    assert set(drawn) == expected
    change = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
    menus = "return [...document.querySelectorAll('select')].map((m) => [m, [...m.options].map((o) => o.value)])"
    for menu, values in browser.run(menus):
        for value in [*values, values[0]]:
            browser.run(change, menu, value)
    with np.load(folder / "runs" / "emulation" / encoder / "seed-0" / "rows.npz") as rows:
        # A point that no other covers, so that it is the one under the mouse.
        points = principal_components(rows["z"])[0]
        apart = np.linalg.norm((points[:, None] - points[None]) / np.ptp(points, axis=0), axis=-1) + np.eye(len(points))
        point = int(apart.min(axis=1).argmax())
        browser.point_at("#embedding-0 canvas", *browser.run(PLACE_OF, "embedding-0", label(encoder), point))
        cells = "return [...document.querySelectorAll('#vg-tooltip-element td')].map((cell) => cell.textContent)"
        told = browser.run(cells)
        for name, value in (
            ("model", str(rows["model_id"][point])),
            ("step", str(rows["step"][point])),
            ("split", rows["split"][point]),
            ("task", describe(rows["task"][point])),
        ):
            assert told[told.index(name) + 1] == value
    assert browser.log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    address = page.resolve().as_uri()
    asked = {request["request"]["url"] for request in sent if request["documentURL"] == address}
    assert {url for url in asked if not url.startswith("data:")} == {address}


# Where in a picture, from its middle, the mark of one row of one encoder lies.
PLACE_OF = """
const [name, encoder, row] = arguments;
return window.drawn.then((all) => {
  const canvas = document.querySelector(`#${name} canvas`);
  const { view } = all.find(({ view }) => document.getElementById(name).contains(view.container()));
  const find = (item, x, y) => {
    if (item.marktype) return item.items.map((each) => find(each, x, y)).find(Boolean);
    if (item.datum?.row === row && item.datum?.encoder === encoder && item.shape) return [x + item.x, y + item.y];
    return (item.items ?? []).map((mark) => find(mark, x + (item.x ?? 0), y + (item.y ?? 0))).find(Boolean);
  };
  const [left, top] = view.origin();
  const [x, y] = find(view.scenegraph().root, left + view.padding().left, top + view.padding().top);
  return [Math.round(x - canvas.clientWidth / 2), Math.round(y - canvas.clientHeight / 2)];
});
"""
