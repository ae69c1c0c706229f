"""Templates compiled once, as Python keeps its modules compiled: that of the report takes a tenth of a second each time else."""

import contextlib
import sys
import zlib
from pathlib import Path
from typing import override

import jinja2
from jinja2.bccache import Bucket


class CompiledPages(jinja2.FileSystemBytecodeCache):
    """Compiled templates in `templates/__pycache__`; where Python may not write its own there, or nobody may, they are compiled each time.

    Jinja compares the text of a template. Its own version and the options of the environment are part of the names, and no template hands a constant to
    a filter of ours, whose result would be compiled with it.
    """

    def __init__(self, environment: jinja2.Environment) -> None:
        options = environment.autoescape, environment.trim_blocks, environment.lstrip_blocks, environment.optimized
        made_with = f"{jinja2.__version__}-{sys.implementation.cache_tag}-{zlib.crc32(repr(options).encode()):08x}"
        super().__init__(str(Path(__file__).with_name("templates") / "__pycache__"), f"{made_with}-%s.pyc")

    @override
    def load_bytecode(self, bucket: Bucket) -> None:
        with contextlib.suppress(OSError):
            super().load_bytecode(bucket)

    @override
    def dump_bytecode(self, bucket: Bucket) -> None:
        if not sys.dont_write_bytecode:
            with contextlib.suppress(OSError):
                Path(self.directory).mkdir(exist_ok=True)
                super().dump_bytecode(bucket)
