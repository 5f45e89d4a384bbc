"""benchmarks/gpu.py: its parts, its table and its limits of time."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import psutil
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gpu  # pyright: ignore[reportMissingImports]

    return gpu


@pytest.fixture
def heads(gpu: Any) -> Any:
    return gpu.heads


def test_what_a_library_writes_is_no_answer_of_a_part(gpu: Any) -> None:
    """A C library writes to file descriptor 1, not to Python's sys.stdout."""
    code = (
        "import os, gpu\n"
        "gpu.PARTS['one'] = (1, lambda quick: iter([os.write(1, b'noise')]))\n"
        "gpu.run_part('one', True)"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=BENCHMARKS, capture_output=True, text=True, check=True)
    assert (done.stdout, "noise" in done.stderr) == ("5\n", True)


PROGRAM = """HloModule jit_step, entry_computation_layout={(f32[4]{0})->f32[4]{0}}

%fused (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  ROOT %add.1 = f32[4]{0} add(%p, %p)
}

%body (t: (s32[], f32[4])) -> (s32[], f32[4]) {
  %t = (s32[], f32[4]{0}) parameter(0)
  %x = f32[4]{0} get-tuple-element(%t), index=1
  %inner = f32[4]{0} fusion(%x), kind=kLoop, calls=%fused
  ROOT %r = (s32[], f32[4]{0}) tuple(%i, %inner)
}

%condition (t.1: (s32[], f32[4])) -> pred[] {
  %t.1 = (s32[], f32[4]{0}) parameter(0)
  ROOT %less = pred[] compare(%i, %n), direction=LT
}

ENTRY %main (a: f32[4]) -> f32[4] {
  %a = f32[4]{0} parameter(0)
  %c = (f32[4]{0}, s8[32]{0}) custom-call(%a, %a), custom_call_target="__cublas$gemm"
  %g = f32[4]{0} get-tuple-element(%c), index=0
  %w = (s32[], f32[4]{0}) while(%g), condition=%condition, body=%body
  ROOT %out = f32[4]{0:T(128)} fusion(%g), kind=kLoop, calls=%fused
}
"""


def test_kernels_are_what_is_not_fused_and_fusions(heads: Any) -> None:
    """By hand: a product, a fusion and a comparison in the loop, and a fusion."""
    assert heads.kernels(PROGRAM) == 4


def test_kernels_of_a_program_that_xla_made(heads: Any) -> None:
    two = jax.jit(lambda a, b: jnp.sin(a @ b) @ b)
    a = jnp.ones((256, 256))
    assert heads.kernels(two.lower(a, a).compile().as_text()) == 3


def test_a_step_can_be_compiled_alone(heads: Any) -> None:
    """At least the products: each layer forward and to its kernel, the second back to its input."""
    training = heads.Training(64, 32, features=8, hidden=(16,))
    assert heads.kernels(heads.step_program(training)) >= 5
    before = int(training.state.step)
    training.run()
    assert int(training.state.step) - before == training.steps == 2


def test_the_table_says_what_is_missing_and_what_a_step_consists_of(gpu: Any) -> None:
    figures = [
        {"part": "epochs", "what": what, "value": value, "unit": "µs"}
        for what, value in zip(gpu.STEP, (200.0, 40.0, 3.0, 8.0, 10.0), strict=True)
    ]
    found = {
        "device": "gpu: 1 x A card",
        "versions": {"jax": "1"},
        "missing": {"torch": "left out"},
    }
    told = gpu.table({**found, "figures": figures})
    assert told.startswith("gpu: 1 x A card; jax 1\n")
    assert "| epochs | a step, batch 32 | 200 | µs |" in told
    assert "| torch | | left out | |" in told
    assert "takes 200 µs and has 40 kernels, 5.0 µs each" in told
    assert "take 10.0 µs, 5% of it" in told
    assert "At batch 32" not in gpu.table({**found, "figures": figures[1:]})


def test_a_part_that_fails_or_is_late_keeps_its_figures(
    gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = json.dumps({"what": "one", "value": 1.0, "unit": ""})
    for name, end, said in [
        ("good", "", None),
        ("bad", "raise ValueError('no memory')", "failed: ValueError: no memory"),
        ("late", "time.sleep(600)", "no time: stopped after 5 s, its limit"),
    ]:
        script = tmp_path / f"{name}.py"
        script.write_text(f"import time\nprint({line!r}, flush=True)\n{end}\n")
        monkeypatch.setattr(gpu, "__file__", str(script))
        figures, wrong = gpu.figures_of(name, True, 5 if name == "late" else 60)
        assert figures == [json.loads(line)]
        assert wrong == said


def test_a_part_ends_with_the_benchmark(tmp_path: Path) -> None:
    """SIGTERM of the benchmark ends its part, which has a process group of its own."""
    part, pid = tmp_path / "part.py", tmp_path / "pid"
    part.write_text(
        f"import os, pathlib, time\np = pathlib.Path({str(pid)!r})\n"
        "p.with_suffix('.new').write_text(str(os.getpid()))\np.with_suffix('.new').rename(p)\n"
        "time.sleep(600)\n"
    )
    code = (
        f"import sys\nsys.path.insert(0, {str(BENCHMARKS)!r})\nimport gpu\n"
        f"gpu.__file__ = {str(part)!r}\nsys.argv = ['gpu.py']\ngpu.main()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as benchmark:
        try:
            while not pid.exists() and benchmark.poll() is None:
                time.sleep(0.05)
            benchmark.terminate()
            assert benchmark.wait(60) == 128 + signal.SIGTERM
        finally:
            benchmark.kill()
    number = int(pid.read_text())
    for _ in range(200):  # where nobody reaps it, it stays as a zombie
        if not psutil.pid_exists(number) or psutil.Process(number).status() == "zombie":
            return
        time.sleep(0.05)
    os.kill(number, signal.SIGKILL)
    pytest.fail("the part still runs")


@pytest.mark.parametrize(
    ("missing", "status"),
    [
        ({}, 0),
        ({"torch": "left out: no torch here"}, 0),
        ({"torch": "left out: no torch here", "epochs": "no time: not begun"}, 2),
        ({"many heads": "failed: no memory", "epochs": "no time: not begun"}, 1),
    ],
)
def test_the_exit_status_tells(gpu: Any, missing: dict[str, str], status: int, monkeypatch) -> None:
    found = {"device": "a card", "versions": {}, "figures": [], "missing": missing}
    monkeypatch.setattr(gpu, "measure", lambda quick, minutes: found)
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--quick"])
    assert gpu.main() == status


def test_no_time_begins_no_part(gpu: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = gpu.measure(True, 0.001)
    assert found["missing"] == dict.fromkeys(gpu.PARTS, "no time: not begun")
    assert found["figures"] == []


@pytest.mark.slow
def test_every_part_works_on_small_sizes() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "gpu.py"), "--quick", "--minutes", "20", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found["missing"]) <= {"torch"}
    parts = {figure["part"] for figure in found["figures"]}
    assert {"epochs", "extraction", "agreement", "many heads"} <= parts
    alike = [f for f in found["figures"] if f["part"] == "agreement"]
    assert len(alike) == 3
    assert max(figure["value"] for figure in alike) < 1e-4
