"""What the reference pages are made of is complete."""

import re
from collections import Counter
from pathlib import Path

from perene.api.problems import status_of, title_of
from perene.core.events import DESCRIPTIONS, EventType
from perene.core.payloads import MEMBERS, PAYLOADS
from perene.settings import OF_COMMANDS, Settings, variable
from perene.supervisor.metrics import DEFINITIONS
from tools.generators import metrics, references

ROOT = Path(__file__).parents[2]


def test_every_error_has_a_code_of_its_own_a_meaning_and_a_remedy():
    kinds = references.error_kinds()
    codes = Counter(kind.code for kind in kinds)
    assert [code for code, count in codes.items() if count > 1] == []
    for kind in kinds:
        assert re.fullmatch(r"[a-z][a-z_]*", kind.code), kind
        assert title_of(kind), kind
        assert kind.remedy.endswith("."), kind
        assert 400 <= status_of(kind) <= 599, kind


def test_every_event_is_described():
    assert set(DESCRIPTIONS) == set(EventType)
    assert all(text.endswith(".") for text in DESCRIPTIONS.values())


def test_every_member_of_a_payload_is_explained():
    assert set(PAYLOADS) == set(EventType)
    assert {name for names in PAYLOADS.values() for name in names} == set(MEMBERS)
    assert list(MEMBERS) == sorted(MEMBERS)
    for meaning in MEMBERS.values():
        assert meaning.partition("](")[0].endswith(".") or meaning.endswith(")."), meaning


def test_every_setting_event_and_error_is_on_its_page():
    pages = references.outputs()
    for name in Settings.model_fields:
        assert f"`{variable(name)}`" in pages["docs/reference/settings.md"]
    for kind in EventType:
        assert f"`{kind}`" in pages["docs/reference/events.md"]
    for kind in references.error_kinds():
        assert f"`{kind.code}`" in pages["docs/reference/errors.md"]


def test_every_metric_is_on_its_page():
    page = metrics.outputs()["docs/reference/metrics.md"]
    assert all(f"`{metric.name}`" in page for metric in DEFINITIONS)


def _mapped() -> set[str]:
    """Return the paths that the map names; a deeper line is inside of the one above it."""
    _, _, rest = (ROOT / "README.md").read_text("utf-8").partition("## The map\n```\n")
    paths: set[str] = set()
    above: dict[int, str] = {0: ""}
    for line in rest.partition("```")[0].splitlines():
        depth = len(line) - len(line.lstrip())
        for name in re.split(r"\s{2,}", line.strip())[0].split(","):
            above[depth + 2] = above[depth] + name.strip()
            paths.add(above[depth + 2])
    return paths


def _inside(folder: Path) -> set[str]:
    """Return the packages and the modules of a package, from the root."""
    parts = {f"{one.parent.relative_to(ROOT)}/" for one in folder.glob("*/__init__.py")}
    return parts | {f"{one.relative_to(ROOT)}" for one in folder.glob("[a-z]*.py")}


def test_the_map_names_every_folder_and_every_part_of_the_package_and_nothing_else():
    package = ROOT / "src" / "perene"
    found = _inside(package) | _inside(package / "supervisor") | {"src/perene/"}
    found |= {f"{one.name}/" for one in ROOT.glob("[a-z]*/") if one.name != "src"}
    made_by_running = {"build/", "data/", "dist/", "node_modules/"}
    assert _mapped() == found - made_by_running


def test_the_map_names_every_kind_of_test():
    line = re.search(r"^tests/ +(.*)$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert line is not None
    folders = (ROOT / "tests").glob("[a-z]*/")
    kinds = {folder.name for folder in folders if any(folder.rglob("*.py"))}
    # Not tests: what drives the clients of others, what pytest loads, what tests share.
    kinds -= {"node", "plugins", "support"}
    assert {kind.split(" ")[0] for kind in re.sub(r"\(.*?\)", "", line[1]).split(", ")} == kinds


def _anchors(page: Path) -> set[str]:
    """Return what can stand behind the # of a link: headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_between_pages_leads_somewhere():
    for page in (ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")):
        for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text("utf-8")):
            path, _, anchor = link.partition("#")
            there = (page.parent / path).resolve() if path else page
            assert there.exists(), (page, link)
            assert not anchor or anchor in _anchors(there), (page, link)


def _cited() -> set[tuple[str, str]]:
    """Return which sections of the protocol's page are cited, each with the file that does it."""
    cited: set[tuple[str, str]] = set()
    for file in (*(ROOT / "src").rglob("*.py"), *(ROOT / "tests").rglob("*.py")):
        if "node_modules" in file.parts or file.name.endswith("_pb2.py"):
            continue
        text = re.sub(r"\s+(?:# )?", " ", file.read_text("utf-8"))
        # More sections may follow the first, up to what ends the clause.
        for clause in re.findall(r"reference/protocol\.md`? (§[^;:)\"]*)", text):
            sections = re.findall(r"§(\d+(?:\.\d+)?)", clause)
            cited |= {(section, str(file.relative_to(ROOT))) for section in sections}
    return cited


def test_every_section_of_the_protocol_that_is_cited_is_there():
    page = (ROOT / "docs/reference/protocol.md").read_text("utf-8")
    sections = set(re.findall(r"^#+ (\d+(?:\.\d+)?)", page, re.MULTILINE))
    assert sections >= set(re.findall(r"§(\d+(?:\.\d+)?)", page))
    cited = _cited()
    assert len(cited) > 80, "the citations are not recognised any more"
    assert [place for place in sorted(cited) if place[0] not in sections] == []


def test_the_pages_name_only_variables_that_exist():
    known = {variable(name) for name in Settings.model_fields} | set(OF_COMMANDS)
    for page in sorted((ROOT / "docs").rglob("*.md")):
        named = set(re.findall(r"\bPERENE_[A-Z_]+[A-Z]", page.read_text("utf-8")))
        assert named <= known, page
