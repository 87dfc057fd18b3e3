"""`python -P -m hive.cli`: the same as `hive`; a detached node is started this way.

Without -P a checkout in the present folder would stand in for the installed package.
"""

from __future__ import annotations

from .main import main

if __name__ == "__main__":
    main(prog_name="hive")
