"""The page in a real browser, from the disk."""

import json
import os
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest

from saltern.report import build

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
PIXELS = """
const canvas = document.querySelector("#viewer canvas");
const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
const colours = new Set();
let sum = 0;
for (let i = 0; i < data.length; i += 4) {
  colours.add(data[i] << 16 | data[i + 1] << 8 | data[i + 2]);
  sum = (sum * 31 + data[i] + 7 * data[i + 1] + 13 * data[i + 2]) % 1000003;
}
return {colours: colours.size, sum, width: canvas.width, height: canvas.height};
"""
FRAMES_DRAWN = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done(true)));"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not (CHROMIUM and DRIVER):
        if os.environ.get("CI"):
            pytest.fail("chromium and chromedriver must be there in CI")
        pytest.skip("needs chromium and chromedriver")
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}", "--window-size=1280,900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def opened(browser, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    build(data, path, path.with_name("figures"))
    browser.get("about:blank")
    # what the browser's own start page did
    browser.get_log("performance")
    browser.get(path.as_uri())
    browser.execute_async_script(FRAMES_DRAWN)
    return browser


def pixels(browser):
    browser.execute_async_script(FRAMES_DRAWN)
    return browser.execute_script(PIXELS)


def emulate(browser, width, scheme="light"):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
    )
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def test_no_errors_and_no_requests(opened):
    assert opened.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert any(url.endswith("/report.html") for url in asked)
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_tables_and_figures_are_there(opened):
    assert len(opened.find_elements("css selector", "table caption")) >= 10
    figures = opened.find_elements("css selector", "svg.figure")
    assert len(figures) > 20
    assert all(f.size["width"] > 150 and f.size["height"] > 60 for f in figures)


def test_frame_is_drawn_and_turns(opened):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    canvas = opened.find_element("css selector", "#viewer canvas")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", canvas)
    first = pixels(opened)
    assert first["colours"] > 200
    assert first["width"] > 500
    canvas.send_keys(Keys.ARROW_RIGHT)
    turned = pixels(opened)
    assert turned["sum"] != first["sum"]
    ActionChains(opened).drag_and_drop_by_offset(canvas, 60, 25).perform()
    dragged = pixels(opened)
    assert dragged["sum"] != turned["sum"]
    opened.find_element("css selector", "#viewer button[value='0']").click()
    assert pixels(opened)["sum"] == first["sum"]


def test_system_and_solvent_are_chosen(opened):
    from selenium.webdriver.support.ui import Select

    first = pixels(opened)
    Select(opened.find_element("css selector", "#viewer select")).select_by_index(3)
    other = pixels(opened)
    assert other["sum"] != first["sum"]
    assert "NaCl 4.63 mol/kg, 350 K" in opened.find_element("css selector", "#viewer canvas").get_attribute(
        "aria-label"
    )
    opened.find_element("css selector", "#viewer input").click()
    assert pixels(opened)["colours"] < 0.9 * other["colours"]


def test_ions_without_solvent_are_shown_as_a_film(opened, data, tmp_path):
    """Three frames: the last one is shown, the slider goes to any, and playing ends at the end."""
    assert not opened.find_element("css selector", "#viewer .film").is_displayed()
    path = tmp_path / "film.html"
    build(with_film(data), path, tmp_path / "figures")
    opened.get(path.as_uri())
    canvas, slider = (
        opened.find_element("css selector", f"#viewer {name}") for name in ("canvas", "input[type=range]")
    )
    opened.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", slider)
    end = pixels(opened)["sum"]
    assert "at 9 ps" in canvas.get_attribute("aria-label")
    opened.execute_script("arguments[0].value = 1; arguments[0].dispatchEvent(new Event('input'))", slider)
    assert pixels(opened)["sum"] != end
    assert opened.find_element("css selector", "#viewer output").text == "5 ps"
    opened.find_element("css selector", "#viewer .film button").click()
    deadline = time.monotonic() + 30
    while slider.get_attribute("value") != "2" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert pixels(opened)["sum"] == end
    assert opened.find_element("css selector", "#viewer .film button").text == "▶"


def with_film(data):
    """The same with three frames of ions alone."""
    level = data.levels[0]
    (last,) = level.films[0]
    ions = [replace(last, time=t, positions=last.positions + t, solvent=~np.ones_like(last.solvent)) for t in (0, 5, 9)]
    return replace(data, levels=(replace(level, films=(tuple(ions),)),))


@pytest.mark.parametrize("width", [390, 1280])
def test_page_fits_its_window(opened, width):
    emulate(opened, width)
    time.sleep(0.1)
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(opened, scheme):
    """Contrast of text, of muted text and of links against the paper, WCAG 2.1: 4.5 at least; of curves 3."""
    emulate(opened, 1280, scheme)
    names = ["--paper", "--ink", "--muted", "--accent", *(f"--s{i}" for i in range(8))]
    style = "const s = getComputedStyle(document.documentElement);"
    found = opened.execute_script(f"{style} return arguments[0].map((n) => s.getPropertyValue(n).trim())", names)
    paper, *others = map(luminance, found)
    ratios = [(max(paper, c) + 0.05) / (min(paper, c) + 0.05) for c in others]
    assert (paper > 0.5) == (scheme == "light")
    assert min(ratios[:3]) >= 4.5
    assert min(ratios[3:]) >= 3


def luminance(colour):
    """Relative luminance of '#rrggbb'."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_without_scripts_there_are_pictures(opened, data, tmp_path):
    path = tmp_path / "report.html"
    build(data, path, tmp_path / "figures")
    opened.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    opened.get(path.as_uri())
    opened.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    pictures = opened.find_elements("css selector", ".cellview")
    assert len(pictures) == len(data.systems)
    assert all(p.is_displayed() for p in pictures)
    assert not opened.find_element("css selector", "#viewer canvas").is_displayed()


def test_figures_are_files_that_stand_alone(opened, data, tmp_path):
    """Every figure of the page, in the colours of its light form; a film moves."""
    build(with_film(data), tmp_path / "report.html", tmp_path / "figures")
    names = {path.stem for path in (tmp_path / "figures").iterdir()}
    opened.get((tmp_path / "report.html").as_uri())
    shown = {svg.get_attribute("data-name") for svg in opened.find_elements("css selector", "svg.figure")}
    film = f"film-{data.levels[0].name}-{data.levels[0].films[0][0].system}"
    assert names == shown | {film}
    opened.get((tmp_path / f"figures/rdf-atoms-{data.systems[0].id}-O-O.svg").as_uri())
    assert opened.execute_script(INK_OF_TEXT) == "rgb(26, 32, 38)"
    opened.get((tmp_path / f"figures/{film}.svg").as_uri())
    assert [opened.execute_script(SEEN_AT, seconds) for seconds in (0.1, 0.3, 0.6)] == [["0 ps"], ["5 ps"], ["9 ps"]]


INK_OF_TEXT = "return getComputedStyle(document.querySelector('g text, text')).fill"
SEEN_AT = """
const svg = document.documentElement; svg.pauseAnimations(); svg.setCurrentTime(arguments[0]);
const seen = [...svg.querySelectorAll('text')].filter((t) => getComputedStyle(t).visibility == 'visible');
return seen.map((t) => t.textContent)
"""
