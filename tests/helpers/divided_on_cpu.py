"""A process of a fine-tuning whose model FSDP divides, on the CPU.

PyTorch's FSDP works over gloo, but accelerate uses it only where it counts the processes among those with a GPU. Here it is
told so; all else is what runs on GPUs.
"""

from __future__ import annotations

import sys
from pathlib import Path

from accelerate.state import PartialState
from accelerate.utils import DistributedType
from selbench_plugins.trainers import _rank_worker

plain = PartialState.__init__


def counted_as_gpu(self: PartialState, *args: object, **options: object) -> None:
    plain(self, *args, **options)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


PartialState.__init__ = counted_as_gpu  # type: ignore[method-assign]

if __name__ == "__main__":
    _rank_worker.main(Path(sys.argv[1]))
