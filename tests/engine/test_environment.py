"""The environment that an engine runs in."""

import pytest
from kvsweep.engine.environment import devices_of, engine_environment, is_knob, knobs_in

SHELL = {
    "PATH": "/bin",
    "HOME": "/home/me",
    "TURBO_LAYER_ADAPTIVE": "1",
    "LLAMA_ATTN_ROT_DISABLE": "1",
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "1",
}


@pytest.mark.parametrize(
    "name",
    [
        "LLAMA_ARG_FLASH_ATTN",
        "TURBO_AUTO_ASYMMETRIC",
        "GGML_CUDA_X",
        "OMP_NUM_THREADS",
        "CUDA_VISIBLE_DEVICES",
        "HIP_VISIBLE_DEVICES",
        "ZE_AFFINITY_MASK",
        "ONEAPI_DEVICE_SELECTOR",
    ],
)
def test_a_knob(name: str) -> None:
    assert is_knob(name)


@pytest.mark.parametrize("name", ["PATH", "LD_LIBRARY_PATH", "CUDA_HOME", "LLAMAS", "MY_TURBO_MODE"])
def test_no_knob(name: str) -> None:
    assert not is_knob(name)


def test_the_knobs_in_a_shell_are_named_in_order() -> None:
    assert knobs_in(SHELL) == (
        "CUDA_VISIBLE_DEVICES", "LLAMA_ATTN_ROT_DISABLE", "OMP_NUM_THREADS", "TURBO_LAYER_ADAPTIVE",
    )  # fmt: skip


def test_an_engine_sees_the_knobs_of_the_configuration_and_no_others() -> None:
    assert engine_environment(SHELL, {"TURBO_AUTO_ASYMMETRIC": "0", "TURBO_LAYER_ADAPTIVE": "0"}) == {
        "PATH": "/bin",
        "HOME": "/home/me",
        "TURBO_AUTO_ASYMMETRIC": "0",
        "TURBO_LAYER_ADAPTIVE": "0",
    }


def test_under_slurm_the_device_is_the_clusters_choice() -> None:
    shell = {**SHELL, "SLURM_JOB_ID": "7"}
    assert "CUDA_VISIBLE_DEVICES" not in knobs_in(shell)
    assert engine_environment(shell, {})["CUDA_VISIBLE_DEVICES"] == "1"


def test_of_a_node_of_its_own_an_engine_sees_no_more_devices_than_were_asked_for() -> None:
    job = {"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "2,3", "ROCR_VISIBLE_DEVICES": "2,3"}
    assert engine_environment(job, {}, devices=1) == {
        "SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "2", "ROCR_VISIBLE_DEVICES": "2",
    }  # fmt: skip
    assert engine_environment(job, {}, devices=2) == engine_environment(job, {}) == job
    # The configuration's word is the last one.
    assert engine_environment(job, {"CUDA_VISIBLE_DEVICES": "3"}, devices=1)["CUDA_VISIBLE_DEVICES"] == "3"


@pytest.mark.parametrize(
    ("gres", "devices"),
    [
        (None, None), ("bench:2", None), ("gpu", 1), ("gpu:2", 2), ("gpu:a100", 1), ("gpu:a100:2", 2),
        ("gres/gpu:1", 1), ("gpu:h100:1(S:0)", 1), ("bench:1,gpu:2", 2),
    ],
)  # fmt: skip
def test_how_many_devices_are_asked_for(gres: str | None, devices: int | None) -> None:
    assert devices_of(gres) == devices
