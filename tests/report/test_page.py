"""The page as text: whole, self-contained, deterministic."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from saltern.report import build, render, summary
from saltern.report.data import Explained, Measured


class Tags(HTMLParser):
    """Elements of a page, and whether they nest."""

    VOID = frozenset({"meta", "link", "input", "br", "path", "circle", "use", "rect", "image"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(data):
    return render(data)


@pytest.fixture(scope="module")
def tags(page):
    return Tags(page)


def test_elements_nest_and_ids_are_unique(tags):
    assert tags.open == []
    assert len(tags.ids) == len(set(tags.ids))


def test_nothing_is_fetched(tags, page):
    links = [a[name] for _, a in tags.tags for name in ("href", "src", "xlink:href", "srcset", "action") if a.get(name)]
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "@import" not in page
    assert re.findall(r"url\((?!#)", page) == []
    assert all(link[1:] in tags.ids for link in links if link.startswith("#"))


def test_page_is_light_and_the_same_twice(data, page, tmp_path):
    build(data, tmp_path / "a" / "report.html", tmp_path / "figures")
    assert (tmp_path / "a" / "report.html").read_text(encoding="utf-8") == page
    assert len(page.encode()) < 1_000_000
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["report.html"]


def test_headings_do_not_skip_and_every_table_has_a_caption(tags, page):
    levels = [int(tag[1]) for tag, _ in tags.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(b - a for a, b in pairwise(levels)) <= 1
    assert page.count("<table>") == page.count("<caption>") >= 10
    images = [a for tag, a in tags.tags if tag in ("svg", "canvas")]
    assert all(a.get("aria-label") for a in images if a.get("role") == "img")
    assert all(a.get("role") == "img" for a in images)


def test_ledger_is_told_in_words_and_in_the_table(page):
    assert "240 frames were requested: 237 accepted and 3 quarantined (1 large-force, 2 scf-not-converged)" in page


def test_ions_at_rest_have_their_tables_and_figures(page):
    assert '<li><a href="#rest">Ions at rest</a></li>' in page
    assert '<th scope="row">NaCl</th><td class="w">zincblende</td>' in page
    assert "Energies of crystals of NaCl, least ones in kcal/mol: rocksalt -17.0; zincblende -11.0; CsCl -5.0" in page
    assert '<th scope="row">Na–Cl</th><td class="n">2.9' in page
    assert "no crystal in any of 96 frames &amp; more" in page


def test_what_became_of_crystals_is_told_and_drawn_where_there_was_one(data, page):
    first, second = (data.system(row.system).label for row in data.levels[0].growth)
    told = (
        f"{first}: 1 of 2 replicas end with a crystal; cations in the largest one 16.50 ± 0.50 at first, 6.5 ± 6.5 in"
    )
    assert told in page
    assert told in summary(data)
    assert f"{second}: no crystal in 1 replicas" in page
    assert page.count("Cations in the largest crystal of ") == 1
    assert f"Cations in the largest crystal of {first}, from first to last frame: 16 to 13, 17 to 0" in page


def test_a_box_with_a_crystal_has_another_name(data):
    plain = data.systems[0]
    seeded = replace(plain, seed_ions=64)
    assert seeded.label == plain.label.replace(" mol/kg", " mol/kg, seed of 64 ions")


def test_text_from_files_cannot_become_markup(data):
    hostile = replace(data, campaign="<script>alert(1)</script>", versions={"</td><img src=x>": "1"})
    level = replace(data.levels[0], films=data.levels[0].films[:1], curves=())
    rows = tuple(replace(row, salt="</script><b>") for row in data.systems)
    found = render(replace(hostile, levels=(level,), systems=rows))
    assert "<script>alert" not in found
    assert "<img" not in found
    assert "</script><b>" not in found


def test_unbelievable_numbers_are_marked(data, page):
    doubtful = [row for row in data.levels[0].properties if not row.believed]
    assert doubtful
    assert page.count('class="doubt"') >= len(doubtful)
    assert "not yet diffusive" in page


def test_the_committee_is_told_whether_it_knows_how_wrong_it_is(data, page):
    assert "The error is 1.830 ± 0.070 times the committee's spread" in page.replace("&#39;", "'")
    assert "force on free ions" in page
    assert 'aria-label="Force error against the committee' in page
    row = re.search(r"<tr[^>]*><th scope=\"row\">m0002.*?</tr>", page)[0]
    assert 'class="doubt"' in row
    assert re.search(r"<tr><th scope=\"row\">m0001.*?made up</td></tr>", page)
    lines = summary(data)
    told = "error is 1.830 ± 0.070 times the committee's spread, rank correlation 0.610 ± 0.020"
    assert f"{told} (held-out trajectories: 24)" in lines
    table = [line.split() for line in lines.splitlines() if line.strip().startswith(("spread ", "error "))][-2:]
    assert [row[0] for row in table] == ["spread", "error"]
    assert [len(row) for row in table] == [12, 12]
    assert "m0001 ended after epoch 180, made up; epoch 150 is kept" in lines
    doubt = "error 1.00 of its baseline's, 100 % of its features idle, never moved: body.radial"
    assert f"m0002 does not look trained: {doubt}" in lines
    assert '<td class="t">body.radial</td>' in row
    assert "m0000" not in lines


def test_simulations_that_left_their_data_are_marked(data, page):
    left, stayed = data.levels[0].health[3], data.levels[0].health[2]
    assert (left.left, stayed.left) == (True, False)
    shares = '11.20 ± 0.40</td><td class="n">25.10 ± 0.60'
    row = re.search(rf'<tr([^>]*)><th scope="row"><code>{left.system}</code></th>(?:(?!</tr>).)*?{shares}', page)
    assert row
    assert "doubt" in row[1]
    told = "NaCl 4.63 mol/kg, 350 K: left the training data: 11.20 ± 0.40 % of the atoms are doubtful, 25.10 ± 0.60 %"
    assert f"{told} have new surroundings, 1 % is usual, force error about 102 meV/Å" in summary(data)


def test_either_share_alone_tells_that_a_simulation_left_its_data(data):
    row = data.levels[0].health[2]
    far, near = Measured(0.2, 0.01), Measured(0.01, 0.01)
    assert replace(row, outside=None, new=far).left
    assert replace(row, outside=far, new=near).left
    assert not replace(row, outside=near, new=replace(far, error=0.08)).left


def test_properties_are_drawn_against_temperature_where_there_is_more_than_one(data, page):
    assert len(re.findall(r'aria-label="Self-diffusion, \w+ against temperature: 298.15 K', page)) == 4
    assert "Coordination number, Cl–O against temperature: 298.15 K 6.7; 350 K 6.7" in page
    one = tuple(replace(row, temperature=300.0) for row in data.systems)
    assert "Against temperature" not in render(replace(data, systems=one))


def test_a_lone_network_has_no_calibration(data):
    bare = replace(data.levels[0], calibration=None, members=(), environments=())
    found = render(replace(data, levels=(bare,)))
    assert "Error against spread" not in found
    assert "Was each network trained?" not in found
    assert "rank correlation" not in summary(replace(data, levels=(bare,)))


def test_a_campaign_without_held_out_frames_says_so(data):
    bare = replace(data.levels[0], errors=(), force_parity=(), energy_parity=(), learning=(), curves=(), films=())
    found = render(replace(data, levels=(bare,), cost=()))
    assert "the error of the potential is not known" in found
    assert "<canvas" not in found


def test_two_levels_have_their_own_sections(data):
    bare = replace(data.levels[0], curves=(), properties=(), films=(), force_parity=(), energy_parity=())
    found = Tags(render(replace(data, levels=(bare, replace(bare, name="ions")))))
    assert {"dataset-atoms", "dataset-ions", "health-ions"} <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))


def test_one_system_is_not_many(data):
    alone = replace(data, systems=data.systems[:1], levels=())
    assert summary(alone).startswith("made-up-numbers: 1 system, ")
    assert "1 electrolyte system." in render(alone)


def test_summary_is_the_page_in_a_few_lines(data):
    lines = summary(data).splitlines()
    assert lines[0] == "made-up-numbers: 8 systems, 8.37 h of processor time"
    assert "240 frames requested = 237 accepted + 3 quarantined, 1 large-force, 2 scf-not-converged" in lines[2]
    assert any("51.2 ± 1.1 meV/Å" in line for line in lines)
    assert any("committee spread" in line for line in lines)
    assert any("D Cl" in line and "(experiment 1.472)" in line for line in lines)


def test_of_a_mean_force_the_page_says_what_is_explained(data):
    """RMSEs of labels that are mostly noise stay in their table, but do not stand for the student."""
    shares = Explained("force", Measured(0.897, 0.002), Measured(0.901, 0.002), Measured(0.004, 0.0005))
    bare = {"curves": (), "properties": (), "learning": (), "films": (), "force_parity": (), "energy_parity": ()}
    level = replace(data.levels[0], explained=(shares,), **bare)
    assert "force error on held-out frames" in summary(replace(data, levels=(level,)))
    assert "beyond pairs" in render(replace(data, levels=(level,)))
    forces = replace(level, errors=tuple(e for e in level.errors if e.what.startswith("force")))
    told = "10.30 ± 0.20 % of the force variance explained, 9.90 ± 0.20 % by pairs alone, 0.400 ± 0.050 % more"
    ions = replace(data, levels=(forces,))
    assert f"on held-out frames {told}" in summary(ions)
    assert "force variance explained" in render(ions)
    assert "Most of these labels is noise" in render(ions)
