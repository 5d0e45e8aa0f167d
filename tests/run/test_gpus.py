from __future__ import annotations

import pytest
from pydantic import ValidationError

from yolov12edge.errors import UsageError
from yolov12edge.run.gpus import Gpu, gpus_of, list_gpus, load_gpu
from yolov12edge.run.recipe import list_recipes, load_recipe


def test_every_recipe_of_a_gpu_names_one_that_is_known() -> None:
    for name in list_recipes():
        recipe = load_recipe(name)
        assert bool(recipe.gpus) == bool(recipe.compute_capabilities), name
        for gpu in recipe.gpus:
            assert load_gpu(gpu).sm in recipe.compute_capabilities


def test_every_gpu_serves_a_recipe() -> None:
    served = {gpu for name in list_recipes() for gpu in load_recipe(name).gpus}
    assert served == {gpu.name for gpu in list_gpus()}


def test_rates_are_what_the_multiprocessors_can_do() -> None:
    per_clock = {72: 1024, 75: 1024, 86: 1024, 87: 2048, 89: 1024, 90: 4096, 110: 8192, 120: 1024}
    for gpu in list_gpus():
        derived = gpu.sms * gpu.clock_ghz * per_clock[gpu.sm] / 1e3
        assert gpu.fp16_tflops == pytest.approx(derived, rel=0.01), gpu.name
        assert gpu.int8_tops == pytest.approx(2 * derived, rel=0.01), gpu.name


def test_a_figure_without_a_source_is_refused() -> None:
    gpu = load_gpu("t4").model_dump()
    gpu["sources"].pop("NVIDIA T4 datasheet (2019)")
    with pytest.raises(ValidationError, match="one source for each figure"):
        Gpu.model_validate(gpu)


def test_what_is_assumed_is_told() -> None:
    assert load_gpu("t4").assumed == ()
    assert load_gpu("thor-t5000").assumed == ("int8_tops",)


def test_an_unknown_gpu_comes_with_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        load_gpu("rtx-3081")
    assert "did you mean rtx-3080" in caught.value.hint


def test_gpus_of_a_compute_capability() -> None:
    assert "rtx-3080" in {gpu.name for gpu in gpus_of(86)}
    assert gpus_of(61) == ()
