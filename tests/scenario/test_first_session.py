"""The commands of the tutorial do what it says, as they are written there."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from tests.crash.processes import Simulator
from tests.support.gateway import Gateway

PAGE = (Path(__file__).parents[2] / "docs/tutorial/first-session.md").read_text("utf-8")
PHONE, BEA = "15550000001", "15550000002"
"""The numbers that the page tells its reader to expect."""


def blocks() -> Sequence[str]:
    """Return what is typed in the third terminal."""
    program = PAGE.partition("**A program**")[2]
    return re.findall(r"^```sh\n(.*?)^```", program, re.DOTALL | re.MULTILINE)


class Terminal:
    """A shell of somebody who follows the page; a request that is refused fails the test."""

    def __init__(self, folder: Path, **variables: str) -> None:
        (folder / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
        around = {"CURL_HOME": str(folder), "NO_PROXY": "127.0.0.1"}
        self._environment = {**os.environ, **around, **variables}

    async def type(self, block: str) -> str:
        """Run the commands of a block, and return what they print."""
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-euo",
            "pipefail",
            "-c",
            block,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment,
        )
        async with asyncio.timeout(60):
            printed = (await process.communicate())[0].decode()
        assert process.returncode == 0, f"{block}\n{printed}"
        return printed


@pytest.fixture
async def gateway(tmp_path: Path, simulator: Simulator) -> AsyncIterator[Gateway]:
    """Give the test the service of the second terminal."""
    found = simulator.settings
    async with Gateway.started(
        tmp_path / "perene",
        endpoint=found["PERENE_ENDPOINT"],
        root_key=bytes.fromhex(found["PERENE_NOISE_ROOT_KEY"]),
    ) as one:
        yield one


async def test_who_types_what_the_tutorial_says_gets_what_it_promises(
    tmp_path: Path, simulator: Simulator, gateway: Gateway
) -> None:
    variables, create, scan, write, answer = blocks()
    assert re.findall(r"^(\w+)=", variables, re.MULTILINE) == ["KEY", "API", "SIM"]
    terminal = Terminal(
        tmp_path,
        KEY=gateway.http.headers["X-Api-Key"],
        API=str(gateway.http.base_url.join("/v1")),
        SIM=f"{simulator.found(r'(http://127[^ ]+)/admin')}/admin",
        PHONE=PHONE,
        BEA=BEA,
    )

    assert "█" in await terminal.type(create)
    assert f'"phone":"{PHONE}"' in await terminal.type(scan)
    await gateway.events.wait("session.connected", session="shop")
    assert (await gateway.session("shop"))["phone"] == PHONE

    assert f'"phone":"{BEA}"' in await terminal.type(write)
    await gateway.events.wait("message.received", text="Do you deliver on Saturdays?")

    await terminal.type(answer)
    await gateway.events.wait("message.status", status="delivered")
    again = await terminal.type(answer)
    assert again.count("We do, until noon.") == 2  # the answer of Perene, and one message of Bea's
    assert [one["text"] for one in await gateway.messages("shop")] == [
        "Do you deliver on Saturdays?",
        "We do, until noon.",
    ]
