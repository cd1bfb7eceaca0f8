"""Graphics processors, from recorded output of the programs that come with their drivers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvsweep.machine import gpus
from kvsweep.machine.gpus import Gpu
from support import machine_output


def test_an_nvidia_gpu() -> None:
    assert gpus.nvidia_gpus(machine_output("nvidia-smi-query.csv")) == (
        Gpu("nvidia", "NVIDIA H100 80GB HBM3", 81559 * 2**20, "580.159.04", "9.0", 700.0, 1980.0, 2619.0),
    )


def test_what_a_gpu_does_not_say_is_none() -> None:
    first, second = gpus.nvidia_gpus(machine_output("nvidia-smi-query-two.csv"))
    assert (first.name, first.arch, first.power_limit_watts) == ("NVIDIA GeForce RTX 3090", "8.6", 350.0)
    assert (second.name, second.power_limit_watts, second.max_memory_clock_mhz) == ("Tesla K80", None, None)
    assert "power_limit_watts" not in second.as_dict()


def test_who_uses_an_nvidia_gpu() -> None:
    assert gpus.nvidia_users(machine_output("nvidia-smi-apps.csv")) == ("python3 (process 432, 900 MiB)",)
    assert gpus.nvidia_users("77, /opt/a, b/llama-server, [N/A]") == ("llama-server (process 77)",)
    assert gpus.nvidia_users(None) == gpus.nvidia_users("") == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (machine_output("nvidia-smi-throttle-idle.csv"), ()),
        (machine_output("nvidia-smi-throttle-none.csv"), ()),
        ("0x0000000000000024", ("power limit", "temperature (driver)")),
        ("0x0000000000000001\n0x0000000000000008", ("hardware slowdown",)),
        ("[N/A]", None),
        ('Field "clocks_throttle_reasons.active" is not a valid field to query.', None),
        (None, None),
    ],
)
def test_what_holds_the_clocks_down(text: str | None, expected: tuple[str, ...] | None) -> None:
    assert gpus.nvidia_slowed_by(text) == expected


def test_amd_gpus() -> None:
    mi300 = Gpu("amd", "AMD Instinct MI300X", 196592 * 2**20, "6.12.12", "gfx942", 750.0)
    newer = machine_output("amd-smi-static.json")
    assert gpus.amd_gpus(newer) == (mi300,)
    # Before ROCm 6.4 it was a bare list, and sizes bare numbers.
    (device,) = json.loads(newer)["gpu_data"]
    device["vram"]["size"] = 196592
    device["limit"]["max_power"] = "N/A"
    (older,) = gpus.amd_gpus(json.dumps([device]))
    assert (older.memory_bytes, older.power_limit_watts) == (mi300.memory_bytes, None)


def test_amd_gpus_as_rocm_smi_has_them() -> None:
    xtx = Gpu("amd", "Radeon RX 7900 XTX", 25753026560, "6.10.5", "gfx1100")
    assert gpus.rocm_gpus(machine_output("rocm-smi.json")) == (xtx,)
    older = {"card1": {"Card series": "AMD Instinct MI250X", "VRAM Total Memory (B)": "68702699520"}}
    assert gpus.rocm_gpus(json.dumps(older)) == (Gpu("amd", "AMD Instinct MI250X", 68702699520),)


def test_an_apple_gpu() -> None:
    found = gpus.apple_gpus(machine_output("system-profiler-displays.json"))
    assert found == (Gpu("apple", "Apple M5 Max", cores=40),)
    # It is part of what the processor's name says already.
    assert gpus.kinds(found) == []


def test_each_kind_of_device_is_named_once() -> None:
    h100, h200 = Gpu("nvidia", "NVIDIA H100"), Gpu("nvidia", "NVIDIA H200")
    assert gpus.kinds([h200, h100, h100]) == ["NVIDIA H100", "NVIDIA H200"]


def test_devices_are_looked_for_with_every_vendor_s_program() -> None:
    recorded = {
        gpus.NVIDIA: machine_output("nvidia-smi-query.csv"),
        gpus.ROCM_SMI: machine_output("rocm-smi.json"),
    }
    found = gpus.find_gpus(lambda *command: recorded.get(command))
    assert [gpu.name for gpu in found] == ["NVIDIA H100 80GB HBM3", "Radeon RX 7900 XTX"]
    assert gpus.find_gpus(lambda *_command: None) == ()


@given(st.text() | st.recursive(st.none() | st.text(max_size=5) | st.integers(), st.lists).map(json.dumps))
def test_output_of_another_form_is_nothing_and_never_an_error(text: str) -> None:
    for read in (gpus.nvidia_gpus, gpus.nvidia_users, gpus.amd_gpus, gpus.rocm_gpus, gpus.apple_gpus):
        assert isinstance(read(text), tuple)
    gpus.nvidia_slowed_by(text)
