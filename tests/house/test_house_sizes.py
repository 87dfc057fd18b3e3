"""Goal: no file or function grows until readers get lost. Method: count lines by syntax."""

from __future__ import annotations

from house_sizes import FILE_LINES_MAX, FUNCTION_LINES_MAX, files, functions
from house_tree import product_sources, sources


def test_no_function_is_longer_than_its_limit() -> None:
    everything = (*product_sources(), *sources("tests", "examples"))
    assert [size for size in functions(everything) if size.lines > FUNCTION_LINES_MAX] == []


def test_no_file_is_longer_than_its_limit() -> None:
    everything = (*product_sources(), *sources("examples"))
    assert [size for size in files(everything) if size.lines > FILE_LINES_MAX] == []
