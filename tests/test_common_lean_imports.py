"""What a command imports beside, and what it can still import afterwards."""

import subprocess
import sys
from collections.abc import Sequence

BESIDE = ("pandas", "sklearn", "matplotlib", "jax")

PROGRAM = """
import sys
from jaxreg.common.lean_imports import begin_command, show_pandas
if {in_command}:
    begin_command()
from jaxreg.backbone.network import start_keras
start_keras()
import keras
import pyarrow
pyarrow.array([1])
print(*[name for name in {beside} if name in sys.modules])
import jax, sklearn, matplotlib
try:
    import pandas
    print("pandas")
except ImportError as error:
    print(error)
show_pandas()
import pandas
layer = keras.layers.Dense(1)
print(layer(keras.ops.ones((2, 3))).shape)
"""


def printed(*, in_command: bool) -> Sequence[str]:
    program = PROGRAM.format(in_command=in_command, beside=BESIDE)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_command_imports_keras_and_arrow_alone() -> None:
    beside, pandas, shape = printed(in_command=True)
    assert beside == ""
    assert pandas == "this command does without pandas"
    assert shape == "(2, 1)"


def test_in_a_program_of_others_nothing_is_hidden() -> None:
    """Keras' own adapters for scikit-learn and pandas are the user's to call there."""
    beside, pandas, _ = printed(in_command=False)
    assert beside.split() == list(BESIDE)
    assert pandas == "pandas"
