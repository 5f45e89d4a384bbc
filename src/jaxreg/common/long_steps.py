"""Steps that may take long: one that lasts is named, so that a wait has a reason."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

AFTER = 2.0  # seconds: a shorter step is not worth a line


@contextmanager
def long_step(text: str, say: Callable[[str], None]) -> Iterator[None]:
    """Say what is being done if the block lasts longer than AFTER seconds.

    Args:
        text: the step, as `solving the ridge`.
        say: gets the text, from another thread.
    """
    timer = threading.Timer(AFTER, say, (f"{text} …",))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
