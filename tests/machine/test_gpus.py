"""Graphics processors, from recorded output of the programs that come with their drivers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvsweep.machine import gpus
from kvsweep.machine.gpus import Gpu
from support import TESTS, machine_output

PROBES = TESTS / "data" / "cases" / "19-machine-probes"


def probed(name: str) -> str:
    """What a program said of an unusual machine."""
    return (PROBES / name).read_text(encoding="utf-8")


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


OLD_DRIVER = {
    "name": "Tesla K80",
    "memory.total": "11441",
    "driver_version": "470.256.02",
    "power.limit": "149.00",
}


def test_one_field_that_a_driver_does_not_know_costs_no_other() -> None:
    """nvidia-smi of the 470s: exit status 2 and one sentence for all of a query with ``compute_cap`` in it."""
    for refusal in (None, probed("nvidia-query-old-driver.txt")):

        def old_driver(*command: str, refusal: str | None = refusal) -> str | None:
            if command[0] != "nvidia-smi" or "--query-gpu" not in command[1]:
                return None
            fields = command[1].partition("=")[2].split(",")
            known = all(field in OLD_DRIVER for field in fields)
            return ", ".join(OLD_DRIVER[field] for field in fields) if known else refusal

        (gpu,) = gpus.find_gpus(old_driver)
        assert gpu == Gpu("nvidia", "Tesla K80", 11441 * 2**20, "470.256.02", None, 149.0)


@pytest.mark.parametrize(
    ("line", "gpu"),
    [
        ("A, 100 MiB, 1.2, 9.0, 7.50 W, ERR!, N/A", Gpu("nvidia", "A", 100 * 2**20, "1.2", "9.0", 7.5)),
        ("A, [Unknown Error], 1.2, [N/A], [GPU is lost], , ", Gpu("nvidia", "A", None, "1.2")),
        ("[Unknown Error], 2048, 1.2, 8.6, , , ", Gpu("nvidia", "NVIDIA GPU 8.6 2GB", 2**31, "1.2", "8.6")),
    ],
)
def test_one_field_without_an_answer_costs_no_other(line: str, gpu: Gpu) -> None:
    sentence = "Unable to determine the device handle for GPU 0000:01:00.0: Unknown Error\n"
    assert gpus.nvidia_gpus(sentence + line + "\n") == (gpu,)


def test_a_card_without_a_name() -> None:
    (gpu,) = gpus.amd_gpus('[{"asic": {"market_name": "N/A", "target_graphics_version": "gfx1201"}}]')
    assert gpu.name == "AMD GPU gfx1201"


def test_a_gpu_whose_memory_is_the_machine_s() -> None:
    (gpu,) = gpus.nvidia_gpus(probed("nvidia-query-gb10.csv"))
    assert (gpu.name, gpu.memory_bytes, gpu.arch) == ("NVIDIA GB10", None, "12.1")


SLICES = """\
GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-aa)
  MIG 3g.40gb     Device  0: (UUID: MIG-bb)
  MIG 1g.10gb     Device  1: (UUID: MIG-cc)
GPU 1: NVIDIA A100-SXM4-80GB (UUID: GPU-dd)
"""


def test_slices_of_a_gpu_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpus.nvidia_slices(SLICES) == ("3g.40gb", None)
    assert gpus.nvidia_slices(SLICES, "MIG-cc") == ("1g.10gb", None)
    assert gpus.nvidia_slices(None) == gpus.nvidia_slices("No devices found.") == ()
    said = {gpus.NVIDIA: probed("nvidia-query-mig.csv"), gpus.NVIDIA_LIST: SLICES}
    names = set()
    for visible in ("", "MIG-cc"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        (gpu,) = gpus.find_gpus(lambda *command: said.get(command))
        names.add(gpu.name)
        assert gpu.memory_bytes is None
    assert names == {"NVIDIA A100-SXM4-80GB MIG 3g.40gb", "NVIDIA A100-SXM4-80GB MIG 1g.10gb"}


def test_names_of_many_cards_are_told_apart() -> None:
    (mi300,) = gpus.amd_gpus(probed("amd-smi-generic-name.json"))
    assert mi300 == Gpu("amd", "AMD Instinct MI300X OAM", 196592 * 2**20, None, "gfx942", 750.0)
    (device,) = json.loads(probed("amd-smi-generic-name.json"))["gpu_data"]
    device["board"]["product_name"] = "N/A"
    (unnamed,) = gpus.amd_gpus(json.dumps([device]))
    assert unnamed.name == "AMD Radeon Graphics gfx942 192GB"
    (rocm,) = gpus.rocm_gpus('{"card0": {"Card Series": "AMD Radeon Graphics", "GFX Version": "gfx1151"}}')
    assert rocm.name == "AMD Radeon Graphics gfx1151"
    line = "NVIDIA Graphics Device, {}, 575.1, {}, 600, 2000, 2000"
    first, second = gpus.nvidia_gpus(f"{line.format(98304, 12.0)}\n{line.format(32768, 12.0)}")
    assert (first.name, second.name) == (
        "NVIDIA Graphics Device 12.0 96GB",
        "NVIDIA Graphics Device 12.0 32GB",
    )


@pytest.mark.parametrize(
    ("partition", "name"),
    [
        ({"compute_partition": "CPX", "memory_partition": "NPS4"}, "AMD Instinct MI300X CPX/NPS4"),
        ({"accelerator_partition": "DPX", "memory_partition": "NPS1"}, "AMD Instinct MI300X DPX"),
        ({"compute_partition": "SPX", "memory_partition": "NPS1"}, "AMD Instinct MI300X"),
        ({"compute_partition": "N/A"}, "AMD Instinct MI300X"),
    ],
)
def test_partitions_of_a_card_are_told_apart(partition: dict[str, str], name: str) -> None:
    (device,) = json.loads(machine_output("amd-smi-static.json"))["gpu_data"]
    (gpu,) = gpus.amd_gpus(json.dumps([device | {"partition": partition}]))
    assert gpu.name == name


def test_a_sentence_before_the_json_costs_nothing() -> None:
    (gpu,) = gpus.amd_gpus(probed("amd-smi-warning-first.txt"))
    assert gpu == Gpu("amd", "AMD Radeon RX 7900 XTX", 24560 * 2**20, "6.12.12", "gfx1100")


SENTENCES = st.sampled_from(
    [
        "WARNING: AMD GPU device(s) is/are in a low-power state.",
        "[AMD/ATI] says [1] {sic}:",
        "2026-10-01 {ERROR",
        "",
    ]
)


@given(st.lists(SENTENCES, max_size=3), st.lists(SENTENCES, max_size=3), st.sampled_from(["\n", " "]))
def test_json_among_sentences(before: list[str], behind: list[str], between: str) -> None:
    for read, name in (
        (gpus.amd_gpus, "amd-smi-static.json"),
        (gpus.rocm_gpus, "rocm-smi.json"),
        (gpus.apple_gpus, "system-profiler-displays.json"),
    ):
        said = machine_output(name)
        assert read(between.join([*before, said, *behind])) == read(said) != ()


@given(st.text() | st.recursive(st.none() | st.text(max_size=5) | st.integers(), st.lists).map(json.dumps))
def test_output_of_another_form_is_nothing_and_never_an_error(text: str) -> None:
    for read in (gpus.nvidia_gpus, gpus.nvidia_users, gpus.amd_gpus, gpus.rocm_gpus, gpus.apple_gpus):
        assert isinstance(read(text), tuple)
    gpus.nvidia_slowed_by(text)
