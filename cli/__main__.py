"""`python -m hive.cli`: the same as `hive`; a detached node is started this way."""

from __future__ import annotations

from .main import main

if __name__ == "__main__":
    main(prog_name="hive")
