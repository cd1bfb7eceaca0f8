"""What macOS says of itself, from text in the form of its commands' output."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kvsweep.machine import macos
from support import TESTS, machine_output


@pytest.mark.parametrize(
    ("name", "source", "percent"),
    [("battery", "Battery Power", 78), ("ac", "AC Power", 100), ("desktop", "AC Power", None)],
)
def test_where_the_power_comes_from(name: str, source: str, percent: int | None) -> None:
    battery = machine_output(f"pmset-batt-{name}.txt")
    assert (macos.power_source(battery), macos.battery_percent(battery)) == (source, percent)


def test_low_power_mode() -> None:
    low = machine_output("pmset-settings.txt")
    assert macos.low_power_mode(low) is True
    assert macos.low_power_mode(low.replace("lowpowermode         1", "lowpowermode         0")) is False
    assert macos.low_power_mode(machine_output("pmset-settings-three-modes.txt")) is False
    assert macos.low_power_mode("Currently in use:\n sleep 1\n") is None


def test_heat() -> None:
    assert macos.thermal_state(machine_output("pmset-therm-nominal.txt")) == "nominal"
    assert macos.thermal_state(machine_output("pmset-therm-limited.txt")) == "CPU_Speed_Limit 62 %"
    assert macos.thermal_state("\tCPU_Speed_Limit \t= 100\n") == "nominal"
    assert macos.thermal_state("Thermal Warning Level = 2\n") == "warning level 2"
    assert macos.thermal_state("pmset: no such option") is None


def test_what_the_gpu_may_hold() -> None:
    assert macos.wired_limit_bytes("118000") == 118000 * 2**20
    assert macos.wired_limit_bytes("iogpu.wired_limit_mb: 6144") == 6144 * 2**20
    # 0 leaves it to macOS.
    assert macos.wired_limit_bytes("0") is None
    assert macos.wired_limit_bytes(None) is None


def test_who_uses_the_gpu_is_who_got_time_between_two_readings() -> None:
    before = macos.gpu_seconds(machine_output("ioreg-gpu-before.txt"))
    after = macos.gpu_seconds(machine_output("ioreg-gpu-after.txt"))
    assert before["python3.12 (process 4245)"] == pytest.approx(124.632)
    # Chrome's 0.01 s are 2 %; the window server is always there.
    assert macos.gpu_users(before, after, 0.5) == ("python3.12 (process 4245), 70 %",)
    assert macos.gpu_users(before, before, 0.5) == ()
    # One that came in between has no earlier reading to compare with.
    assert macos.gpu_users({}, after, 0.5) == ()


@given(st.text())
def test_output_of_another_form_is_nothing_and_never_an_error(text: str) -> None:
    for read in (
        *(macos.power_source, macos.battery_percent, macos.low_power_mode, macos.thermal_state),
        *(macos.wired_limit_bytes, macos.gpu_seconds),
    ):
        read(text)
        read(None)


def test_apple_silicon_tells_its_heat_elsewhere() -> None:
    nominal = (TESTS / "data" / "cases" / "19-machine-probes" / "pmset-therm-apple-silicon.txt").read_text()
    said = "com.apple.system.thermalpressurelevel {}"
    assert macos.thermal_state(nominal) == macos.thermal_state(nominal, said.format(0)) == "nominal"
    assert macos.thermal_state(nominal, said.format(1)) == "moderate thermal pressure"
    assert macos.thermal_state(None, said.format(2)) == "heavy thermal pressure"
    assert macos.thermal_state(nominal, "Failed: notify_get_state") == "nominal"
