"""The fast conversion of rows to Arrow gives the same values as Arrow's own."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runs.arrow import _text_array

LETTERS = st.characters(min_codepoint=1, max_codepoint=0x2FF)


@given(st.lists(st.text(LETTERS, max_size=5), max_size=6), st.booleans())
def test_texts_are_those_that_arrow_reads_itself(texts: list[str], ascii_only: bool) -> None:
    if ascii_only:
        texts = [text.encode("ascii", "ignore").decode() for text in texts]
    values = np.array(texts, np.str_)
    assert _text_array(values).equals(pa.array(texts, pa.string()))
    assert _text_array(np.char.encode(values, "utf-8")).equals(pa.array(texts, pa.string()))
    assert _text_array(values[::-1]).to_pylist() == texts[::-1]
