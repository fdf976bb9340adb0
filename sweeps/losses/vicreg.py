"""VICReg (Bardes et al., ICLR 2022) with images of one class as views of each other: `python3 vicreg.py`.

For embeddings of any length: `model.normalize = false`. With two images of each class, it is pytorch-metric-learning's loss
of the batch and of the batch in which the two images of each class have changed places.
"""

from typing import Dict

import torch
from torch import Tensor


class VicReg(torch.nn.Module):
    @torch.jit.export
    def settings(self) -> Dict[str, float]:
        return {"invariance": 25.0, "variance": 25.0, "covariance": 1.0, "eps": 1e-4}

    def forward(self, batch: Dict[str, Tensor]) -> Tensor:
        embeddings = batch["embeddings"]
        images, width = embeddings.size(0), embeddings.size(1)
        value = embeddings.sum() * 0.0
        if images < 2:
            return value
        same = batch["labels"][:, None] == batch["labels"][None, :]
        pairs = same & ~torch.eye(images, dtype=torch.bool, device=same.device)
        if bool(pairs.any()):
            squares = (embeddings[:, None] - embeddings[None, :]).square().mean(2)
            value = value + batch["invariance"] * squares[pairs].mean()
        deviations = (embeddings.var(0) + batch["eps"]).sqrt()
        value = value + batch["variance"] * (1 - deviations).relu().mean()
        centered = embeddings - embeddings.mean(0)
        covariances = (centered.t() @ centered) / (images - 1)
        between = covariances - covariances.diag().diag()
        return value + 2 * batch["covariance"] * between.square().sum() / width


torch.jit.script(VicReg()).save("vicreg.pt")
