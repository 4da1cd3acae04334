import torch

from bundle.training import MaskedErrorMetric, ReconstructionSSIMMetric


def test_masked_error():
    image, mask = torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    mask[0, 0, 0, :2] = 1
    pred = torch.full((2, 2, 4, 4), 100.0)
    pred[0, 1, 0, :2] = torch.tensor([1.0, 3.0])
    metric = MaskedErrorMetric()
    metric(pred, torch.cat([image, mask], dim=1))
    assert metric.get_buffer().tolist() == [5.0, 0.0]


def test_reconstruction_ssim_reads_the_refiner():
    image = torch.randn(1, 1, 20, 20)
    metric = ReconstructionSSIMMetric()
    metric(torch.cat([torch.zeros_like(image), image], dim=1), torch.cat([image, image], dim=1))
    assert float(metric.aggregate()) > 0.999
