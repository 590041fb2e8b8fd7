"""Accounts of the sandbox, created in the database: over REST CodaLab creates none without a confirmed e-mail."""
# mypy: disable-error-code="import-not-found,import-untyped,no-any-return"

from __future__ import annotations

from typing import Any

from codalab.lib import crypt_util
from codalab.objects.user import User


def ensure_account(model: Any, name: str, password: str, *, root: bool = False) -> None:
    """Create the verified account ``name``, or set its password."""
    known = model.get_user(user_id=model.root_user_id) if root else model.get_user(username=name)
    if known is None:
        model.add_user(
            name,
            name + "@localhost",
            "",
            "",
            password,
            "",
            user_id=model.root_user_id if root else None,
            is_verified=True,
            has_access=True,
        )
    elif not known.check_password(password):
        salted = User.encode_password(password, crypt_util.get_random_string())
        model.update_user_info({"user_id": known.user_id, "password": salted})
