"""What a measurement runs on."""

import platform
import socket
from pathlib import Path

import pytest
from kvsweep.machine import description as machine
from support import TESTS

CPUINFO = """\
processor\t: 0
vendor_id\t: AuthenticAMD
model\t\t: 1
model name\t: AMD EPYC  9B14
stepping\t: 1

processor\t: 1
model name\t: AMD EPYC  9B14
"""
CPUINFO_ARM = """\
processor\t: 0
BogoMIPS\t: 50.00
CPU implementer\t: 0x41
"""
VMSTAT = "nr_free_pages 123\noom_kill 3\npgfault 77\n"
CGROUP_EVENTS = "low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n"


def test_the_processors_name() -> None:
    assert machine.cpu_from_cpuinfo(CPUINFO) == "AMD EPYC 9B14"
    assert machine.cpu_from_cpuinfo(CPUINFO_ARM) is None
    assert machine.cpu_from_cpuinfo("") is None


def test_the_processors_name_on_arm() -> None:
    text = "Architecture:   aarch64\nVendor ID:      ARM\n  Model name:   Neoverse-V2\n    Model:      0\n"
    assert machine.cpu_from_lscpu(text) == "Neoverse-V2"
    assert machine.cpu_from_lscpu(text + "  Model name:   Cortex-A55\n") == "Neoverse-V2 and Cortex-A55"
    assert machine.cpu_from_lscpu("Model name:   -\n") is None
    assert machine.cpu_from_lscpu(None) is None


@pytest.mark.parametrize(
    ("cpu", "cores", "memory", "name"),
    [
        ("Apple M5 Max", 18, 137438953472, "Apple M5 Max 128GB"),
        ("AMD EPYC 9B14", 2, 25276502016, "AMD EPYC 9B14 2 cores 24GB"),
        (None, 4, None, "Linux 4 cores"),
        (None, None, None, "Linux"),
    ],
)
def test_what_people_call_it(cpu: str | None, cores: int | None, memory: int | None, name: str) -> None:
    assert machine.machine_name(cpu, cores, memory, "Linux") == name


def test_the_kinds_of_its_gpus_are_part_of_its_name() -> None:
    """Two kinds of node are two machines; how many devices a node has does not matter to a cell that uses one."""
    xeon = ("Intel Xeon", 16, 2**37, "Linux")
    assert machine.machine_name(*xeon, ["NVIDIA H100"]) == "Intel Xeon 16 cores 128GB, NVIDIA H100"
    assert machine.machine_name(*xeon, ["NVIDIA H200"]) != machine.machine_name(*xeon, ["NVIDIA H100"])


def test_a_record_is_of_a_kind_of_machine_as_it_was() -> None:
    here = machine.this_machine().as_dict()
    other_node = here | {"host": "node2"}
    other_driver = here | {"gpus": [{"name": "NVIDIA H100", "driver": "581.0"}]}
    assert machine.machine_record(other_node) == machine.machine_record(here)
    assert machine.machine_record(other_driver) != machine.machine_record(here)


def test_what_linux_says_in_files() -> None:
    debian = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\n'
    assert machine.distribution(debian) == "Debian GNU/Linux 12 (bookworm)"
    assert machine.distribution("") is None
    assert machine.count_of_list("0-1,4\n") == 3
    assert machine.count_of_list("0\n") == 1
    assert machine.count_of_list("") is None
    assert machine.mhz_of_khz("4200000\n") == 4200
    assert machine.mhz_of_khz("") is None


def test_kills_for_want_of_memory_are_counted_on_the_machine_and_in_the_cgroup() -> None:
    assert machine.out_of_memory_kills(VMSTAT, CGROUP_EVENTS) == 4
    assert machine.out_of_memory_kills(VMSTAT, "") == 3
    assert machine.out_of_memory_kills("", "") is None


def test_this_machine() -> None:
    here = machine.this_machine()
    assert here.cores and here.memory_bytes
    assert here.host == socket.gethostname()
    assert here.system.startswith(platform.system())
    assert here.as_dict()["name"] == here.name


def test_a_name_of_ones_own_and_the_node_of_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURMD_NODENAME", "node7")
    here = machine.this_machine("my bench")
    assert (here.name, here.host) == ("my bench", "node7")


def test_a_probe_that_fails_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_file(_path: Path, **_options: str) -> str:
        raise PermissionError("no")

    def no_load() -> None:
        raise OSError("no")

    def no_value(_name: str) -> int:
        raise ValueError("no")

    monkeypatch.setattr(Path, "read_text", no_file)
    monkeypatch.setattr("os.getloadavg", no_load)
    monkeypatch.setattr("os.sysconf", no_value)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(machine, "output", lambda *_command: None)
    assert machine.load_average() is None
    assert machine.memory_bytes() is None
    assert machine.read_out_of_memory_kills() is None
    assert machine.this_machine().cpu is None


def test_a_mac_as_it_says_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    displays = (TESTS / "data" / "machine-output" / "system-profiler-displays.json").resolve()
    for name, body in (
        ("sysctl", 'case "$2" in iogpu*) echo 118000;; *) echo Apple M5 Max;; esac'),
        ("system_profiler", f"cat {displays}"),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "mac_ver", lambda: ("26.1", ("", "", ""), "arm64"))
    monkeypatch.setattr(machine, "memory_bytes", lambda: 128 * 2**30)
    here = machine.this_machine()
    assert here.name == "Apple M5 Max 128GB"
    assert (here.distribution, here.gpu_limit_bytes) == ("macOS 26.1", 118000 * 2**20)
    assert [(gpu.name, gpu.cores) for gpu in here.gpus] == [("Apple M5 Max", 40)]


def test_a_mac_says_its_processor_by_a_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sysctl = tmp_path / "sysctl"
    sysctl.write_text("#!/bin/sh\necho Apple M5 Max\n")
    sysctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    assert machine.this_machine().cpu == "Apple M5 Max"
    sysctl.write_text("#!/bin/sh\nexit 1\n")
    assert machine.this_machine().cpu is None
