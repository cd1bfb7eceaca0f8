"""The state of a machine before a measurement, and what is said of it."""

from types import SimpleNamespace
from unittest.mock import Mock

import psutil
import pytest
from kvsweep.machine import gpus, macos
from kvsweep.machine.conditions import Conditions, read_conditions, remarks
from support import machine_output

MAC = {
    macos.BATTERY: machine_output("pmset-batt-battery.txt"),
    macos.SETTINGS: machine_output("pmset-settings.txt"),
    macos.THERMAL: machine_output("pmset-therm-limited.txt"),
}


def test_a_mac_at_its_worst(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = [machine_output("ioreg-gpu-before.txt"), machine_output("ioreg-gpu-after.txt")]

    def probe(*command: str) -> str | None:
        return readings.pop(0) if command == macos.GPU_CLIENTS else MAC.get(command)

    monkeypatch.setattr(psutil, "swap_memory", lambda: SimpleNamespace(used=int(11.35 * 2**30)))
    found = read_conditions("Darwin", probe)
    assert (found.power_source, found.battery_percent, found.low_power_mode) == ("Battery Power", 78, True)
    assert found.thermal_state == "CPU_Speed_Limit 62 %"
    said = remarks(found)
    assert [sentence.partition(" ")[0] for sentence in said] == ["this", "low", "this", "others", "11.3"]
    assert "on battery (78 % left)" in said[0]
    assert "sudo pmset -a lowpowermode 0" in said[1]
    assert "python3.12 (process 4245)" in said[3]


def test_an_nvidia_machine() -> None:
    recorded = {
        gpus.NVIDIA_NOW: "0x0000000000000040",
        gpus.NVIDIA_USERS: machine_output("nvidia-smi-apps.csv"),
    }
    found = read_conditions("Linux", lambda *command: recorded.get(command))
    assert remarks(found._replace(swap_used_bytes=None)) == [
        "a GPU's clocks are held down by: temperature (hardware)",
        "others use the GPU: python3 (process 432, 900 MiB)",
    ]


def test_a_probe_that_fails_is_null_and_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "sensors_battery", Mock(side_effect=FileNotFoundError))
    for system in ("Darwin", "Linux"):
        found = read_conditions(system, lambda *_command: None)
        assert (found.power_source, found.low_power_mode, found.thermal_state, found.slowed_by) == (None,) * 4
        assert found.gpu_users == ()
        assert remarks(found._replace(swap_used_bytes=None)) == []
    assert remarks(Conditions()) == []


def test_a_machine_at_ease() -> None:
    fine = Conditions("AC Power", 100, False, "nominal", (), (), 2**35, 2**20)
    assert remarks(fine) == []


@pytest.mark.parametrize(("plugged", "source"), [(True, "AC Power"), (False, "Battery Power"), (None, None)])
def test_a_linux_laptop(plugged: bool | None, source: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    battery = SimpleNamespace(percent=61.7, power_plugged=plugged)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery)
    found = read_conditions("Linux", lambda *_command: None)
    assert (found.power_source, found.battery_percent) == (source, 62)
