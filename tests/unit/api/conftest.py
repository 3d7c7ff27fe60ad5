"""The application over fakes, and a client that has the key."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from perene.api import create_app
from tests.unit.api.fakes import KEY, Fakes


@pytest.fixture
def fakes() -> Fakes:
    return Fakes()


@pytest.fixture
def app(fakes: Fakes) -> FastAPI:
    return create_app(fakes.ports())


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://perene",
        headers={"X-Api-Key": KEY},
    ) as client:
        yield client
