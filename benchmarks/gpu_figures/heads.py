"""Epochs of the original head, what a step of it consists of, and many heads at once."""

import re
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

import train
from gpu_figures.common import Figure, accelerated, device, figure, seconds
from train import FEATURES, ROWS, synthetic

EPOCHS = 20  # of the training that `heads/min` means
HEAD_ROWS, HEAD_FEATURES = 10_000, 1_152  # of such a training


class Training:
    """The original head on made-up features, and an epoch of it; see benchmarks/train.py."""

    def __init__(self, rows: int, batch: int, features: int = FEATURES, **settings: Any) -> None:
        import jax

        from jaxreg.head.fit import make_fit
        from jaxreg.head.state import Data, init_state, prepare
        from jaxreg.train_config import HeadConfig

        x, y = synthetic(rows)
        x = x[:, :features]
        self.config = HeadConfig(
            epochs=1_000, keep_going=True, batch_size=batch, huber_delta=train.DELTA,
            min_delta=0.0, **settings,
        )  # fmt: skip
        data = Data.of(x, y, x[:1], y[:1])
        self.state, self._fit = init_state(self.config, data), make_fit(self.config)
        self.host_data = prepare(self.config, self.state, data)
        self.data = jax.device_put(self.host_data)
        self.steps = -(-rows // batch)

    def run(self, count: int = 1) -> None:
        """Train `count` epochs more, in one call."""
        import jax

        self.state, _ = self._fit(self.state, self.data, int(self.state.epoch) + count)
        jax.block_until_ready(self.state)

    def seconds_of_an_epoch(self, quick: bool) -> float:
        """The median of three rounds of about a second each."""
        self.run()
        first = _clock(self.run)
        count = 1 if quick else int(np.clip(1 / first, 1, 50))
        return statistics.median(_clock(lambda: self.run(count)) / count for _ in range(3))


def _clock(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def epochs(quick: bool) -> Iterator[Figure]:
    """Epochs a second of the original head, and what a step at batch 32 consists of."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    yield device()
    rows = 256 if quick else ROWS
    yield figure("rows of an epoch", rows, f"of {FEATURES:,} features")
    for batch in (32, 1024):
        training = Training(rows, batch)
        spent = training.seconds_of_an_epoch(quick)
        yield figure(f"original head, batch {batch}", 1 / spent, "epochs/s")
        yield figure(f"a step, batch {batch}", 1e6 * spent / training.steps, "µs")

    count = 1_000
    empty = jax.jit(lambda n, x: lax.fori_loop(0, n, lambda i, x: x + 1, x))
    in_a_loop = seconds(lambda: empty(np.int32(10 * count), jnp.float32(0))) / (10 * count)
    yield figure("an empty step in a loop on the device", 1e6 * in_a_loop, "µs")
    call, x = jax.jit(lambda x: x + 1), jnp.float32(0)
    yield figure("an empty jitted call from Python", 1e6 * seconds(lambda: call(x), count), "µs")
    yield figure("kernels of a step", kernels(step_program(Training(rows, 32))), "")
    numbers = jnp.ones(2**20 if quick else 2**27 if accelerated() else 2**25, jnp.float32)
    rate = 2 * numbers.nbytes / seconds(lambda: call(numbers), calls=5)
    yield figure("a copy in the device's memory", rate / 1e9, "GB/s")
    moved, _ = train.work_of_a_step()
    yield figure("the bytes of a step at the rate of a copy", 1e6 * moved / rate, "µs")


def step_program(training: Training) -> str:
    """The optimized program of one step compiled alone, as text."""
    import jax

    from jaxreg.head.fit import first_steps, train_batch
    from jaxreg.head.rates import Rates, static_config

    state, data = training.state, training.data
    rates = Rates.of(training.config, jax.device_get(state.scalers.target))
    batch = training.config.batch_size
    rows = data.x[:batch], data.y[:batch], data.weights[:batch]
    step = jax.jit(train_batch, static_argnums=0, donate_argnums=4)
    lowered = step.lower(
        static_config(training.config), rates, state.scalers, state.key, first_steps(state), *rows
    )
    return lowered.compile().as_text() or ""


_FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all"}


def kernels(program: str) -> int:
    """How many kernels an optimized XLA program starts, where each loop goes round once.

    An operation that is not fused is a kernel, and so is a fusion. What only names or regroups
    arrays is none.
    """
    computations: dict[str, list[tuple[str, str]]] = {}
    inside, entry = "", ""
    for line in program.splitlines():
        if head := re.match(r"(ENTRY )?%?([\w.\-]+) .*\{$", line):
            inside = head[2]
            computations[inside] = []
            entry = inside if head[1] else entry
        elif found := re.match(r"\s+(?:ROOT )?%?[\w.\-]+ = .*?[\s)}\]]([a-z][\w\-]*)\((.*)", line):
            computations[inside].append((found[1], found[2]))

    def count(name: str) -> int:
        total = 0
        for operation, rest in computations.get(name, []):
            inner = re.findall(r"(?:to_apply|body|condition|calls)=%?([\w.\-]+)", rest)
            if operation in ("call", "while", "conditional", "async-start"):
                total += sum(map(count, inner))
            elif operation not in _FREE and not operation.endswith("-done"):
                total += 1
        return total

    return count(entry)


def many_heads(quick: bool) -> Iterator[Figure]:
    """Heads of a sweep: many at once under `vmap` against one alone, at batch 32.

    As the lanes of a sweep they differ in their numbers, in the order of rows and in dropout.
    """
    import jax
    import jax.numpy as jnp

    from jaxreg.head import fit_many

    yield device()
    rows = 64 if quick else HEAD_ROWS if accelerated() else HEAD_ROWS // 8
    number = 3 if quick else 256 if accelerated() else 8
    training = Training(rows, 32, HEAD_FEATURES)
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(training.state))
    while limit and 3 * size * number > 0.7 * limit:  # states, gradients, and a copy of them
        number //= 2
    config, data = training.config, training.host_data
    alone = training.seconds_of_an_epoch(quick)
    yield figure(
        f"one head alone, {EPOCHS} epochs of {rows:,} x {HEAD_FEATURES:,}",
        60 / (EPOCHS * alone),
        "heads/min",
    )

    copies = jax.jit(
        lambda tree: jax.tree.map(lambda a: jnp.broadcast_to(a, (number, *a.shape)), tree)
    )
    states = copies(training.state)  # the same weights
    keys = [jax.random.key_data(jax.random.key(seed)) for seed in range(number)]
    states = states._replace(key=jnp.asarray(np.stack(keys)))
    stacked = jax.device_put(fit_many.stack_data([data] * number))
    numbers = np.random.default_rng(0).uniform(size=(number, 2))
    configs = [
        replace(config, learning_rate=float(10 ** (rate - 4.5)), dropout=float(0.1 + 0.4 * share))
        for rate, share in numbers
    ]
    run = fit_many.make_fit(configs, together=True)
    until, count, spent = int(training.state.epoch), 1 if quick else 2, []
    del training
    for _ in range(3):
        until += count
        start = time.perf_counter()
        states, _ = run(states, stacked, until)
        jax.block_until_ready(states)
        spent.append((time.perf_counter() - start) / count)
    together = min(spent[1:])  # the first compiles
    yield figure(
        f"{number} heads at once, the same", 60 * number / (EPOCHS * together), "heads/min"
    )
    yield figure(
        f"{number} heads at once against one after another", number * alone / together, "x"
    )
