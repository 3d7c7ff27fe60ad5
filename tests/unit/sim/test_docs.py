"""The page about the simulator names every route and every fault."""

from pathlib import Path

import pytest

from perene.sim import Simulator
from perene.sim.admin import admin_app
from perene.sim.faults import KINDS

PAGE = (Path(__file__).parents[3] / "docs/how-to/simulator.md").read_text()
DESCRIBED = admin_app(Simulator()).openapi()["paths"]
ROUTES = [path.removeprefix("/admin") for path in DESCRIBED]


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_is_documented(route: str) -> None:
    # The inbox has two names; the table gives the second one short.
    name = route.replace("{number}", "{id}").replace("/contacts/{phone}/", "/accounts/{phone}/")
    assert name in PAGE


def test_every_route_is_summed_up_in_words() -> None:
    routes = [route for methods in DESCRIBED.values() for route in methods.values()]
    assert [route for route in routes if route["summary"].istitle() or not route["tags"]] == []
    scan = DESCRIBED["/admin/mock-phone/scan-qr"]["post"]
    assert scan["summary"] == "Scan the QR text in the body, with the phone that has this number"
    assert scan["description"].startswith("Without a number, the client's push name decides")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_fault_is_documented(kind: str) -> None:
    assert f"| `{kind}` |" in PAGE
