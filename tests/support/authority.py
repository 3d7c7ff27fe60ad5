"""An authority of the tests' own, which signs certificates for TLS."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """Signs certificates; everything is kept as PEM files in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        until = datetime.now(UTC) + timedelta(days=30)
        certificate = self._sign(self._name, self._key, until, ca=True)
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(certificate)

    def issue(self, name: str, *, days: int = 30) -> tuple[Path, Path]:
        """Make a certificate for a host or a user and its key; a day is in the past below 0."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        until = datetime.now(UTC) + timedelta(days=days)
        stem = f"{self.file.stem}-{name}-{days}"
        certificate, private = self._folder / f"{stem}.crt", self._folder / f"{stem}.key"
        certificate.write_bytes(self._sign(subject, key, until, ca=False))
        private.touch(mode=0o600)
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, private

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, until: datetime, *, ca: bool
    ) -> bytes:
        [common] = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        names: list[x509.GeneralName]
        try:
            names = [x509.IPAddress(ipaddress.ip_address(str(common.value)))]
        except ValueError:
            names = [x509.DNSName(str(common.value))]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(until - timedelta(days=60))
            .not_valid_after(until)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)
