# Copyright 2026 The IterMask2-bundle authors. Licensed under the Apache License, Version 2.0.
import torch
from torch.nn import functional as F

from bundle.training.smooth_noise import enlarged, of_unit_variance


def test_two_products_enlarge_as_bicubic_interpolation_does():
    coarse = torch.randn(3, 1, 7, 5, generator=torch.Generator().manual_seed(1))
    expected = F.interpolate(coarse, size=(40, 33), mode="bicubic", align_corners=True)
    assert torch.allclose(enlarged(coarse, (40, 33)), expected, atol=1e-5)


def test_every_field_has_unit_variance():
    fields = torch.tensor([0.1, 5.0])[:, None, None, None] * torch.randn(2, 1, 9, 8) + 1
    assert torch.allclose(of_unit_variance(fields).std(dim=(2, 3)), torch.ones(2, 1), atol=1e-5)
    assert torch.allclose(of_unit_variance(fields), fields / fields.std(dim=(2, 3), keepdim=True), atol=1e-5)
