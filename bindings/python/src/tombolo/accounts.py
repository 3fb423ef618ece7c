"""The accounts of an app on this device: one file for each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

from . import client
from ._convert import answered, text
from ._ffi import ffi

__all__ = ["AccountFile", "Accounts"]


@dataclass(frozen=True)
class AccountFile:
    """An account with a file on this device."""

    account: str
    """The account."""
    path: Path
    """Its file."""
    sealed: bool
    """It has signed out and left something behind."""
    unsent: int
    """Mutations that only this file knows."""
    unreadable: Optional[str]
    """Why nothing more can be said of the file now."""


class Accounts:
    """The accounts whose files are in a folder, which is made with the first of them.

    What one account holds cannot be read, and what it queued cannot be sent, in another one's name. That keeps accounts
    apart within the app; it is not encryption."""

    def __init__(self, folder: Union[str, "os.PathLike[str]"]) -> None:
        self.folder = Path(folder)

    def path(self, account: str) -> Path:
        """The file of an account. Two accounts never have the same."""
        return Path(ffi.account_path(text("folder", str(self.folder)), text("account", account)))

    async def list(self) -> list[AccountFile]:
        """The accounts that have a file here, by name. No folder is no account."""
        return [
            AccountFile(
                account=given.account,
                path=Path(given.path),
                sealed=given.sealed,
                unsent=given.unsent,
                unreadable=given.unreadable,
            )
            for given in await answered(ffi.accounts(text("folder", str(self.folder))))
        ]

    async def open(self, account: str, **options: Any) -> client.Client:
        """Opens an account's replica: :func:`tombolo.open`, with ``path`` and ``account`` given."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return await client.open(path=self.path(account), account=account, **options)
