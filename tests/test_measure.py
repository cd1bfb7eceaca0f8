from support import *
def test_x(with_baseline):
    d=measure(with_baseline.quality_command("q8_0/turbo4")); print(d)
    print((with_baseline.quality("q8_0/turbo4")/"run.json").read_text())
    d=measure(with_baseline.throughput_command("q8_0/turbo4")); print(d)
    assert 0
