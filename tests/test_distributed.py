from functools import partial

import torch

from bundle.distributed import gather


def _worker(rank: int, path: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{path}/meet", rank=rank, world_size=2)
    items = gather([{"rank": rank, "case": i} for i in range(rank + 1)])
    assert items == [{"rank": 0, "case": 0}, {"rank": 1, "case": 0}, {"rank": 1, "case": 1}]
    torch.distributed.destroy_process_group()


def test_one_process_keeps_its_items():
    assert gather((1, 2)) == [1, 2]


def test_two_processes_share_theirs(tmp_path):
    torch.multiprocessing.spawn(partial(_worker, path=str(tmp_path)), nprocs=2)
