"""A site as Ansible would hand it over to the filter, and certificates for it."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from site_rules import site_report

REPOSITORY = Path(__file__).resolve().parents[4]
EXAMPLE = REPOSITORY / "inventories" / "example"


@dataclass(frozen=True)
class PemFiles:
    """A certificate and its key."""

    certificate: Path
    key: Path


def write_pem_files(folder: Path, *names: str, days: int = 30) -> PemFiles:
    """Make a certificate for some names that ends in some days, or that ended some days ago."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=100))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = PemFiles(folder / f"{names[0]}{days}.pem", folder / f"{names[0]}{days}.key")
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files.key.write_bytes(key.private_bytes(*form))
    return files


MakePemFiles = Callable[..., PemFiles]


@dataclass
class FakeSite:
    """What Ansible would hand over: the variables of all hosts, the groups, and the hosts in play."""

    common: dict[str, Any]
    groups: dict[str, list[str]]
    facts: dict[str, dict[str, Any]]
    own: dict[str, dict[str, Any]] = field(default_factory=dict)
    unresolved: set[str] = field(default_factory=set)
    in_play: set[str] | None = None

    @property
    def classes(self) -> list[dict[str, Any]]:
        """The rows of notebook_classes: regular, large, xlarge."""
        rows: list[dict[str, Any]] = self.common["notebook_classes"]
        return rows

    def report(self) -> str:
        """What the filter says of this site."""
        hosts = self.groups["all"] = sorted({host for members in self.groups.values() for host in members})
        in_play = set(hosts) if self.in_play is None else self.in_play
        hostvars = {
            host: {
                **copy.deepcopy(self.common),
                **self.own.get(host, {}),
                "ansible_facts": self.facts.get(host, {}) if host in in_play else {},
                "__validate_hub_lookup": {"rc": 2 if host in self.unresolved else 0},
            }
            for host in hosts
        }
        return site_report(hostvars, self.groups, in_play)

    def lines(self) -> list[str]:
        """The violations, one a line."""
        return self.report().splitlines()[1:]
