"""Create the hub's secrets where they are missing; print the name of each file written, never its content."""

import os
import pwd
import secrets
from pathlib import Path

FOLDER = Path("/var/lib/afhub/secrets")
# Read as they are by the hub.
PLAIN = ("cookie_secret", "proxy_token", "crypt_key")
# Read by systemd, which puts them into the environment of a unit.
ENVIRONMENT = {
    "proxy_token.env": ("CONFIGPROXY_AUTH_TOKEN", "proxy_token"),
    "crypt_key.env": ("JUPYTERHUB_CRYPT_KEY", "crypt_key"),
}


def write(name: str, content: str) -> None:
    """Write under another name first, so that an interruption leaves no half of a secret."""
    account = pwd.getpwnam("afhub")
    draft = FOLDER / f".{name}.{os.getpid()}"
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as stream:
        stream.write(content)
        stream.flush()
        os.fchown(handle, account.pw_uid, account.pw_gid)
        os.fsync(handle)
    draft.rename(FOLDER / name)
    print(f"wrote {name}")


def main() -> None:
    """Make what is missing, then bring the files for systemd in line with it."""
    for name in PLAIN:
        if not (FOLDER / name).exists():
            write(name, f"{secrets.token_hex(32)}\n")
    for name, (variable, source) in ENVIRONMENT.items():
        content = f"{variable}={(FOLDER / source).read_text()}"
        target = FOLDER / name
        if not target.exists() or target.read_text() != content:
            write(name, content)


if __name__ == "__main__":
    main()
