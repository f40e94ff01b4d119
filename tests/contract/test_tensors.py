"""A TensorSpec survives the way through JSON."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from npubench.contract.tensors import LAYOUTS, Quantisation, TensorSpec, tensor_spec

FINITE = st.floats(allow_nan=False, allow_infinity=False)
QUANTISATIONS = st.builds(
    Quantisation,
    scale=st.lists(FINITE, min_size=1, max_size=4).map(tuple),
    zero_point=st.lists(st.integers(-128, 255), min_size=1, max_size=4).map(tuple),
    axis=st.none() | st.integers(0, 3),
)
SPECS = st.builds(
    TensorSpec,
    name=st.text(max_size=12),
    dtype=st.sampled_from(["float32", "int8", "uint8", "float16", "int64"]),
    shape=st.lists(st.none() | st.integers(1, 4096), max_size=5).map(tuple),
    layout=st.sampled_from(LAYOUTS),
    quantisation=st.none() | QUANTISATIONS,
)


@given(SPECS)
def test_a_spec_comes_back_from_json_as_it_was(spec: TensorSpec) -> None:
    assert tensor_spec(json.loads(json.dumps(spec.to_dict()))) == spec


def test_layout_and_quantisation_may_be_left_out() -> None:
    assert tensor_spec({"name": "x", "dtype": "int8", "shape": [None, 3]}) == TensorSpec("x", "int8", (None, 3))
