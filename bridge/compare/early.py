"""Outputs of the models on the evaluation samples, computed beside other stages until the comparison asks for them."""

import threading
from collections.abc import Callable, Iterable

from bridge.beside import Beside
from bridge.compare.outputs import Candidate, Known, conversion_samples
from bridge.compare.reference import Reference
from bridge.compare.samples import Samples
from bridge.tflite.interpreter import Interpreter

KEPT_BYTES = 1 << 25  # of outputs


class Early:
    """Runs like those of the comparison, so that nothing depends on how many of them there were.

    Where one fails there are no more of its kind: the comparison runs that sample again, and tells why.

    Args:
        samples: evaluation data.
        beside: what does it.

    Attributes:
        plain: the user's model with its outputs alone, None until it runs.
    """

    def __init__(self, samples: Samples, beside: Beside) -> None:
        self.plain: Reference | None = None
        self._samples, self._beside, self._known, self._room = samples, beside, Known(), KEPT_BYTES
        self._stopped, self._at_work = threading.Event(), threading.Lock()

    def start_reference(self, reference: Reference) -> None:
        """Begins to run the user's model."""

        def open_one() -> Callable[[int], int]:
            self.plain = plain = reference.outputs_only(threads=1)

            def run(position: int) -> int:
                found = {name: value.copy() for name, value in plain.run(self._samples[position]).items()}  # onnxruntime's own hold all of its memory
                self._known.expected[position] = found
                return sum(value.nbytes for value in found.values())

            return run

        self._beside.start(lambda: self._work(open_one, range(len(self._samples))))

    def start_float_file(self, opened: Candidate) -> None:
        """Begins to run the float file, after what began before."""

        def open_one() -> Callable[[int], int]:
            interpreter = Interpreter(opened.path)

            def run(position: int) -> int:
                found = self._known.first[position] = interpreter.run(opened.feeder(self._samples[position]))
                return sum(value.nbytes for value in found)

            return run

        self._beside.start(lambda: self._work(open_one, sorted(conversion_samples(len(self._samples)))))

    def end(self) -> None:
        """Nothing runs any more, and nothing large is held."""
        self._stopped.set()
        with self._at_work:
            pass

    def known(self) -> Known:
        """What there is; nothing runs any more."""
        self.end()
        return self._known

    def _work(self, open_one: Callable[[], Callable[[int], int]], positions: Iterable[int]) -> None:
        """Runs sample after sample; what is opened returns the bytes that a run leaves."""
        with self._at_work:
            if self._stopped.is_set():
                return
            run = open_one()
            for position in self._beside.steps(positions):
                if self._stopped.is_set() or self._room <= 0:
                    break
                self._room -= run(position)
            if self.plain is not None:
                self.plain.release()
