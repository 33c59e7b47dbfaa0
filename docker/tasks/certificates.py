"""certificates.py FOLDER INSTANCE DOMAIN: the certificate authority of the mini-pool's site, and the hub's certificate.

What is there and still good for a month is kept. Prints "changed" where something was made.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import sys
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def write(path: Path, content: bytes, mode: int) -> None:
    """Write a file in one step, so that an interrupted run leaves none that is half written."""
    draft = path.with_name(f".{path.name}.part")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    draft.replace(path)
    print("changed", path.name)


def key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key in a file, made where there is none."""
    if not path.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        write(path, made.private_bytes(*form), 0o600)
    found = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise SystemExit(f"{path} holds another kind of key; remove it")
    return found


def name(common_name: str) -> x509.Name:
    """A name with nothing but its common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def still_good(path: Path, authority: x509.Certificate | None) -> bool:
    """Whether there is a certificate that is valid for another month, and signed by this authority."""
    if not path.exists():
        return False
    found = x509.load_pem_x509_certificate(path.read_bytes())
    if authority:
        try:
            found.verify_directly_issued_by(authority)
        except (InvalidSignature, ValueError, TypeError):
            return False
    return found.not_valid_after_utc > NOW + 30 * DAY


def usage(*, signs_certificates: bool) -> x509.KeyUsage:
    """What a key may be used for."""
    return x509.KeyUsage(
        digital_signature=not signs_certificates, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def main() -> None:
    """Make what is missing."""
    folder, instance, domain = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    folder.mkdir(mode=0o700, exist_ok=True)
    authority_key, hub_key = key(folder / "ca.key"), key(folder / "hub.key")
    authority_file, hub_file = folder / "ca.pem", folder / "hub.pem"

    builder = x509.CertificateBuilder().not_valid_before(NOW - DAY)
    if not still_good(authority_file, None):
        who = name(f"afhub mini-pool {instance}")
        made = (
            builder.subject_name(who)
            .issuer_name(who)
            .public_key(authority_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_after(NOW + 3650 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage(signs_certificates=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False
            )
            .sign(authority_key, hashes.SHA256())
        )
        write(authority_file, made.public_bytes(serialization.Encoding.PEM), 0o644)

    authority = x509.load_pem_x509_certificate(authority_file.read_bytes())
    if not still_good(hub_file, authority):
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        names = [x509.DNSName(f"hub.{domain}"), x509.DNSName("localhost"), loopback]
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
        made = (
            builder.subject_name(name(f"hub.{domain}"))
            .issuer_name(authority.subject)
            .public_key(hub_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_after(NOW + 397 * DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(hub_key.public_key()), critical=False)
            .add_extension(issuer_key, critical=False)
            .sign(authority_key, hashes.SHA256())
        )
        write(hub_file, made.public_bytes(serialization.Encoding.PEM), 0o644)


if __name__ == "__main__":
    main()
