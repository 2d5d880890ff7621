"""Where the Pulumi program is, and whether this installation can run it.

This module does not import Pulumi, so that an installation without it can report that.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from worker.domain.errors import CheckoutMissing


def folder() -> Path:
    """The folder of the program: beside the package, in a checkout.

    Raises:
        CheckoutMissing: Safelight was installed without its checkout.
    """
    found = Path(__file__).resolve().parents[2] / "pulumi"
    if not (found / "__main__.py").is_file():
        raise CheckoutMissing(
            f"there is no Pulumi program in {found}: the local stack is what that program deploys. "
            "Run `make up` in a checkout of Safelight; a package or a container image alone has "
            "only the functions and the commands that work on files"
        )
    return found


def require() -> None:
    """Make sure that the program is there and that Pulumi is installed.

    Raises:
        CheckoutMissing: one of them is not.
    """
    folder()
    # Not "pulumi": the program's own folder has that name too where a checkout is on the path.
    if importlib.util.find_spec("pulumi_aws") is None:
        raise CheckoutMissing(
            "Pulumi is not installed, and the local stack is what the Pulumi program deploys. Run "
            "`make up` in the checkout, or install its `deploy` extra"
        )
