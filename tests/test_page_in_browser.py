"""The answer page in a real browser: what a reader sees, and what a click does.

Chromium and its driver (Debian: chromium, chromium-driver) must be there; CI requires them by
OPTLAB_REQUIRE_BROWSER.
"""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MISSING = shutil.which("chromium") is None or shutil.which("chromedriver") is None
REQUIRED = os.environ.get("OPTLAB_REQUIRE_BROWSER")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MISSING and not REQUIRED, reason="chromium and chromium-driver are needed"),
]
STUDY = """\
study: page
seeds: 2
device: cpu
confirm: 5
extend: 0
margin: {accuracy: 1 point}
exercises:
  fit:
    title: Digits
    datasets: [digits]
    models: [softmax]
    epochs: [3]
    optimizers:
      sgd: {lr: [0.1, 1]}
      adam: {lr: [0.01, 0.1]}
      momentum: {lr: [0.1], momentum: [0.5, 0.9]}
    claims:
      - claim: Adam is the most accurate
        order: [{optimizer: adam}, {optimizer: sgd}]
        figure: val_accuracy
  line:
    title: <i>Line</i>
    datasets: [line]
    models: [linear]
    epochs: [100]
    batch_sizes: [full]
    optimizers: {sgd: {lr: [0.001, 0.01]}}
  scale:
    kind: scaling
    datasets: [digits]
    models: [softmax]
    epochs: [1]
    gpus: [1, 2]
    optimizers: {sgd: {lr: [0.1]}}
  find:
    kind: search
    datasets: [digits]
    epochs: 2
    trials: 6
    space:
      optimizer: {type: categorical, choices: [sgd, adam]}
      lr: {type: float, low: 0.01, high: 1, log: true}
"""
NAMES = {"sgd": "SGD", "adam": "Adam", "momentum": "Momentum"}
RUNS = "document.querySelectorAll('#table tbody tr')"
# What the pictures show, by the names of their sources.
SOURCE = """
for (const root of Bokeh.documents.at(-1).roots())
  for (const drawn of root.renderers)
    if (drawn.data_source && drawn.data_source.name === arguments[0])
      return {data: Object.fromEntries(Object.entries(drawn.data_source.data)
                      .map(([name, cells]) => [name, Array.from(cells)])),
              selected: Array.from(drawn.data_source.selected.indices)};
"""


class Browser:
    """Chromium with the page, and the requests that it made."""

    def __init__(self):
        from selenium import webdriver

        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for name in (
            *("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run"),
            *("disable-background-networking", "disable-component-update", "disable-sync"),
        ):
            options.add_argument(f"--{name}")
        logs = {"browser": "ALL", "performance": "ALL"}
        options.set_capability("goog:loggingPrefs", logs)
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options, service)

    def size(self, width, height=900):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def media(self, **features):
        shown = [{"name": name.replace("_", "-"), "value": v} for name, v in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": shown})

    def open(self, address):
        self.driver.get("about:blank")
        self.driver.get(address)
        self.until("return document.documentElement.dataset.ready")

    def until(self, script, *arguments, seconds=20.0):
        """Wait until a script returns something true, and return it."""
        end = time.monotonic() + seconds
        while not (found := self.driver.execute_script(script, *arguments)):
            assert time.monotonic() < end, f"not within {seconds} s: {script}"
            time.sleep(0.05)
        return found

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def text(self, selector):
        return self.driver.find_element("css selector", selector).text

    def texts(self, selector):
        return [one.text for one in self.driver.find_elements("css selector", selector)]

    def click(self, selector, number=0):
        one = self.driver.find_elements("css selector", selector)[number]
        self.run("arguments[0].scrollIntoView({block: 'center'})", one)
        one.click()

    def source(self, name):
        return self.run(SOURCE, name)

    def requests(self):
        """The addresses that were asked for since the last call, but for the page's own."""
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
        return [one for one in found if not one.startswith(("about:", "data:", "blob:"))]

    def errors(self):
        return [one for one in self.driver.get_log("browser") if one["level"] == "SEVERE"]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The results of a study that was really trained, and its page."""
    folder = tmp_path_factory.mktemp("page é")
    (folder / "study.yaml").write_text(STUDY, encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "--cores", "2"]
    done = subprocess.run(
        [*command, "--configfile", "study.yaml"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the answers: results/page/index.html" in done.stderr
    return folder / "results/page"


@pytest.fixture(scope="module")
def browser():
    one = Browser()
    yield one
    one.driver.quit()


@pytest.fixture
def page(browser, results):
    """The page, just opened at 1280 pixels; in the end it made no request and no error."""
    browser.size(1280)
    browser.media(prefers_color_scheme="light")
    browser.errors(), browser.requests()
    address = (results / "index.html").as_uri()
    browser.open(address)
    yield browser
    assert browser.errors() == []
    asked = {one.partition("#")[0] for one in browser.requests()}
    assert asked <= {address}


def table(results, name):
    with (results / f"tables/{name}.tsv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def places(browser):
    """The paths of the selected rows of the table of runs, in their order."""
    return browser.run(f"return [...{RUNS}].filter(r => r.querySelector('input').checked)"
                       ".map(r => Number(r.dataset.run))")  # fmt: skip


def test_the_first_screen_has_the_answers_of_the_tables(page, results):
    cards = page.driver.find_elements("css selector", ".card")
    assert [one.find_element("css selector", "h3 bdi").text for one in cards] == [
        *("Digits", "<i>Line</i>", "scale", "find"),
    ]
    assert all(one.rect["y"] + one.rect["height"] < 900 for one in cards)
    first, *others = table(results, "optimizers")
    card = cards[0].text
    assert cards[0].find_element("css selector", ".answer bdi").text == NAMES[first["optimizer"]]
    assert first["verdict"].casefold() in card.casefold()
    assert f"{100 * float(first['test_accuracy']):.2f} %" in card
    assert f"[{100 * float(first['test_accuracy_low']):.2f}, " in card
    for row in others:
        assert NAMES[row["optimizer"]] in card
        assert row["verdict"].partition(" ")[0].strip(":").capitalize() in card
    (best,) = (row for row in table(results, "best") if row["exercise"] == "line")
    assert f"lr {best['lr']}" in cards[1].text


def test_a_click_on_a_row_shows_its_curve(page):
    page.click("#clear")
    assert places(page) == [] and page.source("lines_loss")["data"]["xs"] == []
    page.click("#table tbody tr", 3)
    (run,) = places(page)
    lines = page.source("lines_loss")["data"]
    assert len(lines["xs"]) == len(page.source("lines_accuracy")["data"]["xs"]) == 1
    assert lines["xs"][0] == [0, 1, 2, 3]
    assert page.source("runs")["selected"] == [page.source("runs")["data"]["run"].index(run)]
    label = page.text("#chosen summary")
    assert label == lines["text"][0]
    assert page.text("#chosen code").startswith("python workflow/scripts/train.py")
    page.click("#table tbody tr", 0)
    assert len(places(page)) == len(page.source("lines_loss")["data"]["xs"]) == 2
    page.click("#table tbody tr", 3)
    assert run not in places(page)


def test_a_selection_in_a_picture_is_one_in_the_table(page):
    page.run("""
        for (const root of Bokeh.documents.at(-1).roots()) for (const drawn of root.renderers)
          if (drawn.data_source.name === 'runs') drawn.data_source.selected.indices = [1, 2];
    """)
    runs = page.source("runs")["data"]["run"]
    assert sorted(places(page)) == sorted([runs[1], runs[2]])
    assert len(page.source("lines_loss")["data"]["xs"]) == 2


def test_a_click_on_a_mark_selects_its_run(page):
    """With a real mouse, at the place where the mark is drawn."""
    page.click("#clear")
    page.run("document.getElementById('rates_accuracy').scrollIntoView({block: 'center'})")
    time.sleep(0.5)
    x, y, run = page.run("""
        const view = [...Bokeh.index.roots].find(v => v.model.name === 'rates_accuracy');
        const source = view.model.renderers.at(-1).data_source.data;
        const box = view.el.getBoundingClientRect(), inner = view.frame.bbox;
        return [box.x + inner.left + view.frame.x_scale.compute(source.x[0]) - inner.left,
                box.y + inner.top + view.frame.y_scale.compute(source.y[0]) - inner.top,
                source.run[0]];
    """)
    from selenium.webdriver.common.action_chains import ActionChains

    move = ActionChains(page.driver)
    move.w3c_actions.pointer_action.move_to_location(round(x), round(y))
    move.w3c_actions.pointer_action.click()
    move.perform()
    page.until(f"return [...{RUNS}].some(r => r.querySelector('input').checked)")
    assert run in places(page)


def test_only_what_is_far_worse_is_drawn_at_the_edge(page):
    fences = "return fences(arguments[0], arguments[1])"
    low, high = page.run(fences, [0.95, 0.96, 0.961, 0.962, 0.97, 0.1], False)
    assert 0.9 < low < 0.95 and high > 0.97
    low, high = page.run(fences, [1e-3, 2e-3, 3e-3, 4e-3, 0, 1e6], True)
    assert 4e-3 < high < 1e3
    assert page.run("return String(fences([0.4, 0.4, 0.4, 0.7], false))") == "-Infinity,Infinity"
    data = page.source("runs")["data"]
    values = [float(text.split()[-2]) / 100 for text in data["value"]]
    best = values.index(max(values))
    assert data["y"][best] == pytest.approx(values[best], abs=1e-4)


def test_sorting_and_filtering(page):
    def column(number):
        return page.run(f"return [...{RUNS}].map(r => r.cells[arguments[0]].textContent)", number)

    heads = page.texts("#table thead th")
    at = next(i for i, head in enumerate(heads) if head.startswith("learning rate"))
    assert page.run("return document.querySelectorAll('#table [aria-sort=descending]').length") == 1
    page.click("#table thead button", at - 1)
    rates = [float(value) for value in column(at)]
    assert rates == sorted(rates) and len(rates) == 6
    page.click("#table thead button", at - 1)
    assert [float(value) for value in column(at)] == sorted(rates, reverse=True)
    field = page.driver.find_element("id", "filter")
    field.send_keys("adam lr>=0.1")
    page.until(f"return {RUNS}.length === 1")
    assert "Adam" in page.text("#table tbody tr") and "0.1" in page.text("#table tbody tr")
    assert page.source("runs")["data"]["text"] == ["Adam, lr 0.1"]
    field.clear()
    field.send_keys("nothing")
    page.until(f"return {RUNS}.length === 0")


def test_every_verdict_of_a_pair_is_in_the_matrix(page, results):
    marks = {"better": "▲", "worse": "▼", "equivalent": "=", "open": "?"}
    rows = table(results, "pairs")
    shown = page.run("return [...document.querySelectorAll('#matrix tbody tr')]"
                     ".map(r => [...r.cells].map(c => c.textContent))")  # fmt: skip
    names = [row[0] for row in shown]
    for row in rows:
        one, two = (names.index(NAMES[row[key]]) for key in ("optimizer", "other"))
        assert shown[one][two + 1] == marks[row["verdict"]]
    page.click("#matrix button")
    assert re.search(r"p [\d.e-]+ after correction, 5 common seeds", page.text("#pair"))
    texts = page.source("lines_loss")["data"]["text"]
    assert sorted(text.partition(",")[0] for text in texts) == sorted(names[:2])


def test_an_address_names_a_view(page):
    page.click('.card [data-open^="line/"]')
    assert page.run("return document.getElementById('problem').selectedOptions[0].textContent") == (
        "<i>Line</i>: linear on line"
    )
    page.click("#clear")
    page.click("#table tbody tr", 1)
    (run,) = places(page)
    address = page.driver.current_url
    assert "#p=line" in address and "runs=" in address
    page.open(address)
    assert places(page) == [run]
    assert page.run("return document.getElementById('accuracies').hidden")


def test_searches_scaling_and_claims_are_shown(page, results):
    trials = table(results, "trials")
    assert len(page.source("trials")["data"]["x"]) == len(trials) == 6
    assert [row["gpus"] for row in table(results, "scaling") if row["speedup"]].count("2") >= 1
    assert max(page.source("speeds")["data"]["x"]) == 2
    (claim,) = table(results, "claims")
    assert claim["claim"] in page.text("#claims") and claim["verdict"] in page.text("#claims")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_wide_and_narrow_dark_and_light(page, results, width, scheme):
    page.size(width)
    page.media(prefers_color_scheme=scheme)
    page.open((results / "index.html").as_uri())
    assert page.run("return document.documentElement.scrollWidth") <= width
    paper, ink = page.run("""const style = getComputedStyle(document.body);
        return [style.backgroundColor, style.color].map(c => c.match(/\\d+/g).map(Number));""")
    assert (sum(paper) < 200) == (scheme == "dark") and contrast(paper, ink) > 10
    for selector in (".verdict", ".evidence", "h3", ".note", "nav a", ".lines b"):
        for color, behind in page.run(
            """
            const solid = (one) => {
                const c = getComputedStyle(one).backgroundColor;
                return c === 'rgba(0, 0, 0, 0)' ? solid(one.parentElement) : c; };
            return [...document.querySelectorAll(arguments[0])].map(
                one => [getComputedStyle(one).color, solid(one)]);""",
            selector,
        ):
            numbers = [[int(part) for part in re.findall(r"\d+", c)[:3]] for c in (color, behind)]
            assert contrast(*numbers) >= 4.5, (selector, color, behind)  # WCAG 2.2, 1.4.3
    (figure,) = page.run("""return Bokeh.documents.at(-1).roots()
        .filter(r => r.name === 'rates_accuracy').map(r => r.background_fill_color)""")
    assert (figure == "#16181c") == (scheme == "dark")


def contrast(one, other):
    """The ratio of WCAG 2.2 for two colours."""

    def luminance(color):
        parts = [c / 255 for c in color]
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_the_keyboard_reaches_what_the_mouse_does(page):
    from selenium.webdriver.common.keys import Keys

    page.click("#clear")
    box = page.driver.find_element("css selector", "#table tbody input")
    box.send_keys(Keys.SPACE)
    assert len(places(page)) == 1
    term = page.driver.find_element("css selector", ".term")
    page.run("arguments[0].focus()", term)
    assert term.find_element("css selector", ".tip").is_displayed()
    unnamed = page.run("""return [...document.querySelectorAll('button, input, select')].filter(
        one => !(one.textContent.trim() || one.ariaLabel || (one.labels && one.labels.length)))
        .map(one => one.outerHTML)""")
    assert unnamed == []
    ids = page.run("""return [...document.querySelectorAll('[aria-labelledby]')]
        .filter(one => !document.getElementById(one.getAttribute('aria-labelledby')))
        .map(one => one.outerHTML.slice(0, 80))""")
    assert ids == []


def test_a_command_is_copied(page):
    page.click("#clear")
    page.click("#table tbody tr")
    page.run(
        "window.copied = null; navigator.clipboard.writeText = async t => { window.copied = t; }"
    )
    page.click("#chosen button")
    command = page.until("return window.copied")
    assert command == page.text("#chosen code") and "--lr" in command


def test_it_prints(page, tmp_path):
    import base64

    printed = page.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    content = base64.b64decode(printed["data"])
    assert content.startswith(b"%PDF") and len(content) > 20_000
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 15


def test_it_is_the_first_item_of_the_report(browser, results):
    command = [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "--quiet", "all"]
    command += ["--configfile", "study.yaml", "--report", "report.html"]
    subprocess.run(command, cwd=results.parents[1], check=True, capture_output=True)
    browser.driver.get((results.parents[1] / "report.html").as_uri())
    items = browser.until("""const found = [...document.querySelectorAll('li')]
        .map(one => one.textContent.trim()).filter(Boolean);
        return found.includes('Tables') && found;""")
    names = items[items.index("Results") + 1 :] if "Results" in items else items
    assert names[0] == "The answers"


def test_it_follows_a_study_that_runs(browser, results, tmp_path):
    """The page of `watch.py` while runs come; served to this machine alone."""
    import http.client

    folder = tmp_path / "live"
    shutil.copytree(results.parents[1] / "results", folder / "results")
    (folder / "study.yaml").write_text(STUDY, encoding="utf-8")
    runs = sorted((folder / "results/page/runs/fit").rglob("run.json"))
    hidden = [file.rename(file.with_name("hidden")) for file in runs[2:]]
    for file in (folder / "results/page/confirm").rglob("confirmed.json"):
        file.unlink()
    watch = [sys.executable, "-u", ROOT / "workflow/scripts/watch.py", "--study", "study.yaml"]
    with subprocess.Popen([*watch, "--port", "0"], cwd=folder, stdout=subprocess.PIPE) as serving:
        try:
            address = re.search(rb"http://127.0.0.1:(\d+)", serving.stdout.readline())
            browser.open(address[0].decode())
            assert "So far, 2 of 6 runs." in browser.text(".card")
            assert "4 of 8 runs" not in browser.text("#progress")
            for file in hidden:
                file.rename(file.with_name("run.json"))
            browser.until("return document.querySelector('.card').textContent.includes('6 of 6')",
                          seconds=40)  # fmt: skip
            asked = {re.match(r"\w+://[^/]*", one)[0] for one in browser.requests()}
            assert asked <= {address[0].decode(), "file://"}
            for name, path, status in (
                ("127.0.0.1", "/tables/runs.tsv", 200),
                ("127.0.0.1", "/../../study.yaml", 404),
                ("127.0.0.1", "/%2e%2e/%2e%2e/study.yaml", 404),
                ("elsewhere.example", "/", 403),
            ):
                one = http.client.HTTPConnection("127.0.0.1", int(address[1]))
                one.request("GET", path, headers={"Host": f"{name}:{int(address[1])}"})
                assert one.getresponse().status == status, path
        finally:
            serving.terminate()


def test_a_search_alone(browser, results, tmp_path, monkeypatch):
    """And nothing at all: pages without runs."""
    from optlab.page import write, written
    from optlab.study import reading
    from optlab.study.table import every as table_of

    study = {**reading.load(results / "study.yaml")}
    study["exercises"] = {"find": study["exercises"]["find"]}
    monkeypatch.chdir(results.parents[1])
    runs = table_of(reading.load(results / "study.yaml"))
    every = written.read(results / "tables", runs)
    both = {name: every[name] for name in ("trials", "search")}
    for name, found in (("search", both), ("nothing", {})):
        page = tmp_path / f"{name}.html"
        page.write_text(write.page(study, found, []), encoding="utf-8")
        browser.driver.get_log("browser")
        browser.driver.get(page.as_uri())
        if found:
            browser.until("return document.documentElement.dataset.ready")
            assert len(browser.source("trials")["data"]["x"]) == 6
            assert "test accuracy" in browser.text(".card")
        else:
            assert "There is no answer yet" in browser.text("#answers")
        assert browser.errors() == []


def test_very_many_optimizers_are_shown_from_the_first_on(browser, tmp_path, monkeypatch):
    from handmade import crowd

    from optlab.page import write, written
    from optlab.results import tables
    from optlab.study.table import every as table_of

    monkeypatch.chdir(tmp_path)
    study = crowd(45)
    tables.write_all(Path("tables"), tables.tables(study))
    runs = table_of(study)
    Path("index.html").write_text(write.page(study, written.read(Path("tables"), runs), runs))
    browser.size(1280)
    browser.errors()
    browser.open(Path("index.html").absolute().as_uri())
    selected = f"[...{RUNS}].filter(r => r.querySelector('input').checked)"
    names = browser.run(f"return {selected}.map(r => r.cells[1].textContent)")
    assert names == [f"Own{n:03}" for n in range(10)]
    assert browser.texts("#matrix th") == [f"Own{n:03}" for n in range(1, 45)]
    assert browser.text("#matrix caption").startswith("Own000 against each of the other 44")
    assert browser.texts("#matrix td.words")[-1].startswith("open, difference in test accuracy 4.4")
    browser.click("#select-best")
    assert browser.run(f"return {selected}.length") == 45
    assert browser.errors() == []


def test_a_taken_port_is_one_line(results):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        watch = [sys.executable, ROOT / "workflow/scripts/watch.py", "--study", "study.yaml"]
        done = subprocess.run([*watch, "--port", port], cwd=results.parents[1], text=True,
                              capture_output=True, check=False)  # fmt: skip
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (
        f"error: port {port}: Address already in use; give another one with --port, or 0\n"
    )
