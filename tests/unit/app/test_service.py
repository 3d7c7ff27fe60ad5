"""The service's own steps at a start."""

from pathlib import Path
from unittest.mock import AsyncMock, Mock

import pytest

from perene.app.service import _announce
from perene.core.errors import StorageUnavailable
from perene.settings import Settings


async def test_a_start_goes_on_when_the_database_falls_silent_before_the_first_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Mock(list_api_keys=AsyncMock(side_effect=StorageUnavailable("no answer within 10 s")))
    await _announce(Settings(data_dir=tmp_path), store, 8080)
    told = capsys.readouterr().out
    assert "serves at http://127.0.0.1:8080" in told
    assert "pk_" not in told
