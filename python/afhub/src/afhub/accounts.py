"""Which accounts of the hub's host may own a notebook."""

from __future__ import annotations

import pwd

from afhub.jobs import ACCOUNT_NAME
from afhub.settings import Settings

#: Accounts below belong to the system on every supported distribution.
FIRST_USER_UID = 1000
#: The account of files without an owner.
NOBODY_UID = 65534


class AccountRefused(Exception):
    """This account gets no notebook; the text may be shown to the user."""


def admitted(settings: Settings, name: str) -> pwd.struct_passwd:
    """The account a notebook will run as; raises :class:`AccountRefused`."""
    if not ACCOUNT_NAME.fullmatch(name):
        raise AccountRefused(
            "This account's name can't own a notebook on this system. Please ask your admins."
        )
    if name in settings.limits.refused_users:
        raise AccountRefused(
            f"The account {name} may not run notebooks here. Please log in with your own account."
        )
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        raise AccountRefused(
            f"The account {name} is not known on the notebook hosts. Please ask your admins to add it."
        ) from None
    if account.pw_uid < FIRST_USER_UID or account.pw_uid == NOBODY_UID:
        raise AccountRefused(
            f"{name} is a system account and may not run notebooks. Please log in with your own account."
        )
    return account
