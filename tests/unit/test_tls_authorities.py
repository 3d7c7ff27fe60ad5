"""The file of TLS authorities, as a start and the doctor look at it."""

import errno
import os
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from perene.settings import WrongSetting
from perene.settings.tls_authorities import count_authorities
from perene.sim.certificate import self_signed


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ca.pem"


def refusal(file: Path) -> str:
    with pytest.raises(WrongSetting) as refused:
        count_authorities(file)
    return str(refused.value)


@pytest.mark.parametrize("count", [1, 3])
def test_every_certificate_is_counted(file: Path, count: int) -> None:
    certificates = [self_signed("127.0.0.1")[0] for _ in range(count)]
    file.write_bytes(b"# our own\n" + b"".join(certificates))
    assert count_authorities(file) == count


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no certificate",
        bytes(range(256)),
        b"-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n",
        self_signed("127.0.0.1")[1],
    ],
    ids=["empty", "text", "binary", "broken", "a private key"],
)
def test_a_file_without_a_certificate_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert refusal(file) == (
        f'PERENE_TLS_CA_FILE names "{file}", which holds no certificate in PEM form.'
    )


def test_a_file_that_is_not_there_is_refused(file: Path) -> None:
    assert refusal(file) == (
        f'PERENE_TLS_CA_FILE names "{file}", which cannot be read: No such file or directory.'
    )


def test_a_file_that_may_not_be_read_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(self_signed("127.0.0.1")[0])
    # Root may read every file, so the refusal is made up.
    forbidden = PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))
    monkeypatch.setattr("ssl.SSLContext.load_verify_locations", Mock(side_effect=forbidden))
    assert refusal(file).endswith("which cannot be read: Permission denied.")


def test_what_is_no_file_is_refused_and_nobody_waits_for_it(file: Path) -> None:
    assert refusal(file.parent).endswith("which is not a file.")
    os.mkfifo(file)
    began = time.monotonic()
    assert refusal(file).endswith("which is not a file.")
    assert time.monotonic() - began < 10
