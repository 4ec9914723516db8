from __future__ import annotations

import pytest

from edgefuse.bench.cases import Case, Wanted, product, refuse_none
from edgefuse.errors import SettingsError
from edgefuse.zoo import find

HERE = {"onnx": True, "litert": False, "numpy": True}
SIZES = [(96, 80)]


def wanted(*models: str, runtimes: list[str] | None = None, precisions: list[str] | None = None, threads: tuple[int, ...] = (1,)) -> Wanted:
    return Wanted({m: find(m) for m in models}, runtimes, precisions, threads, SIZES)


def test_the_product_has_existing_files_on_installed_runtimes() -> None:
    cases, left_out = product(wanted("mobilefuse", "blend-classic", threads=(1, 2)), HERE)
    assert [(c.model, c.runtime, c.precision) for c in cases if c.threads == 2] == [
        ("mobilefuse", "onnx", "int8"), ("mobilefuse", "onnx", "fp32"), ("mobilefuse", "numpy", "fp32"), ("blend-classic", "auto", None),
    ]  # fmt: skip
    assert len(cases) == 8
    assert left_out == ["litert can't be used here"]


def test_combinations_that_a_model_lacks_are_left_out_and_reported() -> None:
    cases, left_out = product(wanted("mobilefuse", runtimes=["onnx", "numpy"], precisions=["int8"]), HERE)
    assert cases == [Case("mobilefuse", "onnx", "int8", 1, (96, 80))]
    assert left_out == ["mobilefuse has no int8 file for numpy"]
    none, left_out = product(wanted("mobilefuse", runtimes=["numpy"], precisions=["int8"]), HERE)
    with pytest.raises(SettingsError, match="nothing to measure: mobilefuse has no int8 file for numpy"):
        refuse_none(none, left_out)


def test_auto_is_one_case() -> None:
    assert product(wanted("mobilefuse", runtimes=["auto"]), HERE)[0] == [Case("mobilefuse", "auto", None, 1, (96, 80))]


def test_a_case_survives_json() -> None:
    case = Case("mobilefuse", "onnx", "int8", 2, (96, 80))
    assert Case.from_json(case.as_json()) == case
    assert case.label == "mobilefuse onnx int8"
