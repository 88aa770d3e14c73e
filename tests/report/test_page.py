"""The report page: one offline file, its sentences agree with the board, and text from data never becomes markup."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import json
import math
import re
import shutil
from html.parser import HTMLParser

import pytest

from selbench.report.board import Aggregate, ArmRow, Board, Critical, Difference, Table
from selbench.report.page import write_page
from selbench.report.page.selection_panels import composition_panel, overlap_panel
from selbench.report.page.sentences import table_sentence, verdict_word
from selbench.report.page.source import Source
from selbench.store.axes import Axes
from selbench.store.facts import LeakSummary, ScoreRow, SelectionFacts
from selbench.store.records import Record, Records
from selbench.store.stages import write_json

HOSTILE = "<script>alert(1)</script>"
MARKUP = '<img src=x onerror=alert(2)> & <b>"bold"</b> &lt; \u2028 %{x} <a href="https://example.org">x</a>'
SCORES = {HOSTILE: 0.31, "mads": 0.30, "random": 0.25, "longest": 0.10, "base": 0.0, "full": 0.5}
VERDICTS = {HOSTILE: "better", "mads": "tied", "longest": "worse", "base": "worse", "full": "better"}
PANELS = {
    "pairs",
    "curves",
    "costs",
    "critical",
    "aggregates",
    "tasks",
    "transfer",
    "overlap",
    "composition",
    "fairness",
}
PANELS |= {"leaks", "plan", "published"}


def _difference(a: str, b: str, word: str | None = None) -> Difference:
    mean = SCORES[a] - SCORES[b]
    if word is None:
        word = "tied" if abs(mean) < 0.06 else "better" if mean > 0 else "worse"
    p = 0.3 if word == "tied" else 0.004
    return Difference(a, b, mean, mean - 0.02, mean + 0.02, p, min(1.0, 2 * p), word, 0.01, 0.008, 0.006, 2, 0.05, 12,
                      mean - 0.03, mean + 0.03, mean - 0.04, mean + 0.04)  # fmt: skip


def _table(budget: str, model: str, number: int) -> Table:
    rows, free = [], ("base", "full")
    for place, (arm, score) in enumerate(sorted(SCORES.items(), key=lambda item: -item[1])):
        rows.append(
            ArmRow(
                arm=arm,
                selector=arm,
                scorer="small" if arm == "mads" else "",
                budget="" if arm in free else budget,
                amount=math.nan if arm in free else float(budget.rstrip("%")) / 100,
                score=score + 0.01 * number,
                low=score - 0.02,
                high=score + 0.02,
                se=0.01,
                seeds=2,
                reference=arm in free,
                rank_low=0 if arm in free else place,
                rank_high=0 if arm in free else place + 1,
                vs_baseline=None if arm == "random" else _difference(arm, "random", VERDICTS[arm]),
                examples=40.0,
                response_tokens=400.0 if arm == "longest" else 200.0,
                steps=30.0,
                selection_s=1.5 + place,
                training_s=20.0 - place,
                runs=tuple(f"{_slug(arm)}-{model}-{budget}-{seed}" for seed in (0, 1)),
            )
        )
    pairs = tuple(_difference(a.arm, b.arm) for a, b in itertools.combinations(rows, 2))
    setting = {"suite": "planted", "metric": "exact_match", "model": model, "pool": "planted", "trainer": "trl"}
    return Table(setting, budget, True, tuple(rows), pairs)


def _slug(arm: str) -> str:
    return "hostile" if arm == HOSTILE else arm


@pytest.fixture(scope="module")
def board() -> Board:
    tables = tuple(
        _table(budget, model, i)
        for i, (model, budget) in enumerate(itertools.product(("small", "large"), ("10%", "20%")))
    )
    ranked = {arm: 1.0 + i for i, arm in enumerate((HOSTILE, "mads", "random", "longest"))}
    return Board(
        baseline="random",
        test="moderated t",
        correction="holm",
        confidence=0.95,
        tables=tables,
        aggregates=tuple(Aggregate(arm, 4, rank, 0.01, -0.01, 0.03, 0.2, 4, (1, 2, 1)) for arm, rank in ranked.items()),
        critical=Critical(ranked, ((HOSTILE, "mads"), ("mads", "random", "longest")), 1.4, 0.01, 4),
        counts={"tables": 4, "uncorrected": {"better": 4}},
        warnings=(f"{HOSTILE} trains on more tokens", MARKUP),
        notes=(MARKUP,),
    )


PUBLISHED = [{"selector": "mads", "budget": "10%", "score": 36.0, "note": HOSTILE}]


def _record(key: str, row: ArmRow, table: Table, seed: int) -> Record:
    share = row.amount if row.budget else None
    skills = {"add": 20, MARKUP: 15, HOSTILE: 5} if row.arm == "mads" else {"add": 30, MARKUP: 10}
    return Record(
        key=key,
        status="finished",
        axes=Axes(
            pool="planted", pool_key="p", selector=row.selector, budget=share, scorer=row.scorer,
            model=table.setting["model"], seed=seed, suite_keys={"planted": "s"},
        ),
        config={"note": MARKUP, "published": {"source": MARKUP, "rows": PUBLISHED}},
        created="2026-11-20T12:00:00+00:00",
        command=f"selbench selector='{HOSTILE}'",
        stages={"selection": f"sel-{_slug(row.arm)}-{row.budget}-{seed}"},
        scores=[
            ScoreRow("planted", task, "exact_match", row.score + shift, items=45)
            for task, shift in (("add", 0.02), (MARKUP, -0.02))
        ],
        selection=SelectionFacts(40 if row.budget else 400, 200, 1, 0.5, 30.0, 9.0, {"skill": skills}),
        leaks={MARKUP: LeakSummary(True, items=90, leaked=1, selected_examples=(MARKUP,))},
        logged={"training/response_tokens_seen": 600.0},
        cost={"selection": {"wall_s": 1.5}, "training": {"wall_s": 20.0}},
        versions={"selbench": "0"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(board, tmp_path_factory):
    """The folder with the runs behind the board, and their records."""
    store = Records(tmp_path_factory.mktemp("runs"))
    for table in board.tables:
        for place, row in enumerate(table.rows):
            for seed, key in enumerate(row.runs):
                store.write(_record(key, row, table, seed))
                ids = [f"id-{(place * 10 + seed + i) % 400}" for i in range(40)]
                write_json(store.folder(key) / "selection.json", {"ids": ids, "scores": None})
    return store.root, store.all()


PLAN = [
    {"stage": "selection", "planned_s": 90.0, "actual_s": 100.0},
    {"stage": HOSTILE, "planned_s": 1e3, "actual_s": None},
]


@pytest.fixture(scope="module")
def page(board, runs, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(path, board, runs[1], runs[0], title=f"Report {HOSTILE}", plan=PLAN)
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]  # nothing is left aside
    return path


def test_selections_from_two_pools_of_one_name_are_not_mixed(board, runs):
    root, records = runs
    here = {record.key: record for record in records if record.axes.model == "small"}
    there = {
        record.key: dataclasses.replace(record, axes=dataclasses.replace(record.axes, pool_key="q" * 20))
        for record in records
        if record.axes.model == "large"
    }
    one = Source(board, {record.key: record for record in records}, root, None)
    two = Source(board, {**here, **there}, root, None)
    labels = {source: [view.label for view in composition_panel(source).views] for source in (one, two)}
    assert labels[one] == ["planted · 10%", "planted · 20%"]
    assert sorted(labels[two]) == [
        "planted · 10% · pool p", "planted · 10% · pool qqqqqqqq",
        "planted · 20% · pool p", "planted · 20% · pool qqqqqqqq",
    ]  # fmt: skip
    assert len(overlap_panel(two).views) == 4
    # The runs of each arm are those from its own pool.
    assert [sum(view.data["runs"]) for view in composition_panel(two).views] == [8] * 4


class _Reader(HTMLParser):
    """Tags with their attributes, the text of scripts, and the text outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        elif self.cdata_elem is None:
            self.text += data


@pytest.fixture(scope="module")
def read(page):
    return _Reader(page.read_text(encoding="utf-8"))


def test_the_page_asks_for_nothing(page, read):
    for tag, attributes in read.tags:
        assert tag not in {"link", "img", "iframe", "object", "base", "form"}, tag
        for name in ("src", "href", "action", "srcset"):
            assert (attributes.get(name) or "#").startswith("#"), (tag, attributes)
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    styles = re.findall(r"<style>(.*?)</style>", page.read_text(encoding="utf-8"), re.S)
    assert len(styles) == 1 and "url(" not in styles[0] and "@import" not in styles[0]


def test_only_scripts_known_by_hash_may_run(read):
    policy = next(
        a["content"] for t, a in read.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    kinds = [attributes.get("type") for tag, attributes in read.tags if tag == "script"]
    assert kinds == ["application/json", None, None]
    for script in read.scripts[1:]:
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy
    assert policy.startswith("default-src 'none'; script-src 'sha256-")


def test_names_are_text_in_the_markup_and_in_the_data(page, read):
    assert f"Report {HOSTILE}" in read.text and MARKUP in read.text
    embedded = read.scripts[0]
    assert not re.search("[<>&\u2028]", embedded)
    data = json.loads(embedded)
    assert HOSTILE in data["arms"] and data["panels"].keys() == PANELS
    assert sum(tag == "b" for tag, _ in read.tags) == 0


def test_sentences_claim_what_was_tested(board):
    said = table_sentence(board.tables[0], board)
    assert f"2 of 4 methods are tied for first place ({HOSTILE} and mads)" in said
    assert f"{HOSTILE} beats random by 0.0600 (corrected 95 % interval 0.0300 to 0.0900)" in said
    assert "longest falls behind random by 0.1500" in said and "mads cannot be told apart from random" in said
    untested = Difference("a", "b", 0.5)
    arms = (ArmRow("a", "a", budget="1", score=1.5, vs_baseline=untested), ArmRow("b", "b", budget="1"))
    single = Table({}, "1", True, arms, (untested,))
    assert table_sentence(single, board) == "a scores best, but no difference could be tested."
    assert [verdict_word(untested, False), verdict_word(None, False), verdict_word(None, True)] == [
        "not tested",
        "not compared",
        "baseline",
    ]


@pytest.fixture(scope="module")
def plain_page(board, tmp_path_factory):
    """125 tables of plain scores: no runs, no costs."""
    arms = [f"method {i}" for i in range(7)] + ["random"]
    unknown = dict.fromkeys(("examples", "response_tokens", "steps", "selection_s", "training_s"), math.nan)

    def table(i: int) -> Table:
        rows = tuple(
            ArmRow(arm, arm, budget=f"{i % 5}", score=50.0 - j, se=1.0, seeds=3, **unknown)
            for j, arm in enumerate(arms)
        )
        pairs = tuple(Difference(a, b, 1.0, -1.0, 3.0, 0.2, 1.0) for a, b in itertools.combinations(arms, 2))
        return Table({"task": f"task {i // 25}", "model": f"model {i // 5 % 5}"}, f"{i % 5}", True, rows, pairs)

    path = tmp_path_factory.mktemp("plain") / "report.html"
    whole = Board("random", "welch", "none", 0.95, tuple(table(i) for i in range(125)))
    write_page(path, whole, [], None, title="Plain scores")
    return path


def test_a_board_without_runs_says_what_is_missing(plain_page):
    read = _Reader(plain_page.read_text(encoding="utf-8"))
    assert json.loads(read.scripts[0])["panels"].keys() == {"pairs", "curves"}
    assert sum(attributes.get("class") == "missing" for _, attributes in read.tags) == len(PANELS) - 2
    assert "These scores come without costs" in read.text
    assert "separated from the runner-up in none of 125 tables" in read.text
    assert plain_page.stat().st_size < 8e6


def test_an_empty_board_is_a_page_too(tmp_path):
    write_page(
        tmp_path / "report.html", Board("random", "moderated", "holm-table", 0.95, ()), [], None, title="Nothing"
    )
    read = _Reader((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "There is nothing to compare" in read.text and json.loads(read.scripts[0])["panels"] == {}


# ---- in a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """One Chromium for all tests, with logs of its console and of its requests."""
    pytest.importorskip("selenium", reason="needs selenium: pip install -e .[dev]")
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("no chromium and chromedriver on this machine: apt-get install chromium chromium-driver")
    options = Options()
    options.binary_location = chromium
    off = ("background-networking", "component-update", "sync", "gpu", "quic")
    for flag in ("headless", "no-sandbox", "no-first-run", *(f"disable-{name}" for name in off)):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options=options, service=Service(driver))
    yield found
    found.quit()


@pytest.fixture
def opened(browser, page):
    _size(browser, 1280)
    browser.get("about:blank")
    browser.get_log("performance")
    browser.get_log("browser")
    browser.get(page.as_uri())
    return browser


def _size(browser, width):
    about = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", about)


def _show_all(browser):
    """Scroll to every panel and wait until it is drawn."""
    script = """
        const done = arguments[arguments.length - 1];
        const all = [...document.querySelectorAll("section.panel")];
        (async () => {
          for (const section of all) {
            section.scrollIntoView();
            for (let i = 0; i < 50 && section.querySelector(".drawing:empty"); i++) {
              await new Promise((next) => setTimeout(next, 20));
            }
          }
          done(all.filter((section) => section.querySelector(".drawing:not(:empty)")).map((section) => section.id));
        })();
    """
    return set(browser.execute_async_script(script))


def _choose_last(browser):
    """Choose the last entry of every panel's menus."""
    browser.execute_script("""
        for (const menu of document.querySelectorAll("section.panel select")) {
          menu.value = [...menu.options].filter((option) => !option.disabled).at(-1).value;
          menu.dispatchEvent(new Event("change", { bubbles: true }));
        }
    """)


def _texts(browser, selector):
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((element) => element.textContent)", selector
    )


def _quiet(browser):
    """Assert that the console is empty and that the page requested nothing but its own file."""
    assert browser.get_log("browser") == []
    log = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    sent = {m["params"]["request"]["url"] for m in log if m["method"] == "Network.requestWillBeSent"}
    assert {url.split(":")[0] for url in sent} <= {"file", "data", "blob"}
    assert sum(url.startswith("file:") for url in sent) == 1


def test_every_panel_draws_and_nothing_leaves_the_page(opened):
    assert _show_all(opened) == PANELS
    figures = _texts(opened, "section[data-kind=figure] .plot")
    assert len(figures) == 8 and all(figures)
    assert all(_texts(opened, "section[data-kind=figure] .note"))
    assert len(_texts(opened, "section[data-kind=table] .drawing tbody tr")) > 20
    _choose_last(opened)
    assert "characters" in " ".join(_texts(opened, "#composition .drawing th"))
    _quiet(opened)


def test_names_are_shown_as_text_everywhere(opened):
    before = len(opened.find_elements("css selector", "script"))
    _show_all(opened)
    opened.execute_script("for (const button of document.querySelectorAll('tbody th.arm button')) button.click()")
    for panel in ("curves", "costs", "critical", "tasks", "overlap", "composition", "plan"):
        shown = " ".join(_texts(opened, f"#{panel} .plot text"))
        assert HOSTILE[:20] in shown, panel  # figures cut long names
    assert MARKUP[:12] in " ".join(_texts(opened, "#tasks .plot text"))
    assert any(MARKUP in text for text in _texts(opened, "#leaks td"))
    assert any(json.dumps(MARKUP, ensure_ascii=False) in text for text in _texts(opened, ".details pre"))
    assert len(opened.find_elements("css selector", "script")) == before
    assert opened.find_elements("css selector", "img, b, main a:not([href^='#']), svg a") == []
    _quiet(opened)


def test_sorting(opened):
    from selenium.webdriver.common.keys import Keys

    heads = opened.find_elements("css selector", "#verdict-table thead button")
    names = [head.text for head in heads]
    original = _texts(opened, "#verdict-table tbody th.arm")
    for i, head in enumerate(heads):
        read = f"#verdict-table tbody tr > :nth-child({i + 1})"
        head.send_keys(Keys.ENTER)
        assert opened.find_elements("css selector", "thead th")[i].get_attribute("aria-sort") == "ascending"
        script = "return [...document.querySelectorAll(arguments[0])].map((cell) => cell.dataset.value)"
        values = [value for value in opened.execute_script(script, read) if value]
        numbers = _numbers(values)
        assert (numbers or values) == sorted(numbers or values, key=lambda v: v if numbers else v.lower()), names[i]
        head.send_keys(Keys.SPACE)
        values = [value for value in opened.execute_script(script, read) if value]
        assert _numbers(values) == sorted(_numbers(values), reverse=True), names[i]
    head.send_keys(Keys.ENTER)
    assert _texts(opened, "#verdict-table tbody th.arm") == original
    assert opened.find_elements("css selector", "thead th[aria-sort=ascending], thead th[aria-sort=descending]") == []
    _quiet(opened)


def _numbers(values):
    try:
        return [float(value) for value in values]
    except ValueError:
        return []


def test_filtering_and_details(opened):
    from selenium.webdriver.support.ui import Select

    def shown():
        return [row for row in opened.find_elements("css selector", "#verdict-table tbody") if row.is_displayed()]

    assert len(shown()) == 24
    menus = {menu.get_attribute("data-filter"): menu for menu in opened.find_elements("css selector", "[data-filter]")}
    assert set(menus) == {"model", "budget", "selector"}  # one pool and one suite: nothing to choose
    Select(menus["model"]).select_by_value("large")
    Select(menus["selector"]).select_by_value(HOSTILE)
    assert len(shown()) == 2
    find = opened.find_element("id", "find")
    find.send_keys("20% better")
    assert len(shown()) == 1
    assert opened.find_element("id", "shown").text == "1 of 24 rows"
    button = shown()[0].find_element("css selector", "th.arm button")
    button.click()
    assert button.get_attribute("aria-expanded") == "true"
    details = shown()[0].find_element("css selector", ".details").text
    for text in ("selbench rerun hostile-large-20%-1", "selbench show hostile-large-20%-0", "Configuration", HOSTILE):
        assert text in details
    button.click()
    assert opened.find_elements("css selector", ".details") == []
    find.clear()
    find.send_keys("no such word")
    assert shown() == []
    _quiet(opened)


def test_colours_print_and_phone(opened):
    _show_all(opened)
    colour = "return getComputedStyle(document.querySelector('#curves .plot text')).fill"
    light = opened.execute_script(colour)
    opened.find_element("id", "theme").click()
    assert opened.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    dark = opened.execute_script(colour)
    assert dark != light
    opened.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert opened.execute_script(colour) == light
    opened.execute_script("dispatchEvent(new Event('afterprint'))")
    assert opened.execute_script(colour) == dark
    _size(opened, 360)
    for change in ("redrawAll()", "for (const button of document.querySelectorAll('th.arm button')) button.click()"):
        opened.execute_script(change)
        assert opened.execute_script("return document.documentElement.scrollWidth") == 360
    _choose_last(opened)
    assert opened.execute_script("return document.documentElement.scrollWidth") == 360
    _quiet(opened)


def test_a_large_page_opens_without_drawing_everything(browser, plain_page):
    _size(browser, 1280)
    browser.get(plain_page.as_uri())
    assert len(_texts(browser, "#verdict-table tbody")) == 1000
    assert _texts(browser, "section.panel .drawing:not(:empty)") == []
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert len(_texts(browser, "section.panel .drawing:not(:empty)")) == 2
