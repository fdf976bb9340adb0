"""The manifold similarity loss (Aziere & Todorovic, CVPR 2019) with a proxy for each class: `python3 manifold.py`.

Images and proxies are nodes of a graph; a random walk on it makes similarities. Differs from pytorch-metric-learning,
which assigns images to proxies at random: here the proxy of an image is that of its class.
"""

from typing import Dict

import torch
import torch.nn.functional as F
from torch import Tensor


class Manifold(torch.nn.Module):
    @torch.jit.export
    def settings(self) -> Dict[str, float]:
        return {"context": 1.0, "alpha": 0.8, "margin": 5e-4}

    @torch.jit.export
    def initial_parameters(self, classes: int, width: int) -> Dict[str, Tensor]:
        return {"proxies": torch.randn(classes, width)}

    def softly_largest(self, similarity: Tensor, own: Tensor, margin: Tensor) -> Tensor:
        """log(1 + sum of exp of by how much other proxies are closer than the own one), for each image."""
        excess = similarity - similarity.gather(1, own[:, None]) + margin
        other = torch.ones_like(excess).scatter(1, own[:, None], 0.0) > 0
        closer = other & (excess >= 0)
        return (excess.exp() * closer).sum(1).log1p()

    def forward(self, batch: Dict[str, Tensor]) -> Tensor:
        images = batch["embeddings"].size(0)
        nodes = torch.cat([F.normalize(batch["embeddings"], dim=1), F.normalize(batch["proxies"], dim=1)])
        one = torch.eye(nodes.size(0), dtype=nodes.dtype, device=nodes.device)
        weights = ((nodes @ nodes.t()).clamp(min=0.0) / 0.5).exp() * (1 - one)
        scale = weights.sum(1).rsqrt()
        steps = scale[:, None] * weights * scale[None, :]
        walks = (1 - batch["alpha"]) * torch.linalg.inv(one - batch["alpha"] * steps)
        intrinsic = walks[:images, images:]
        context = F.normalize(walks[:images], dim=1) @ F.normalize(walks[images:], dim=1).t()
        labels, margin = batch["labels"], batch["margin"]
        own = self.softly_largest(intrinsic, labels, margin)
        return own + batch["context"] * self.softly_largest(context, labels, margin)


torch.jit.script(Manifold()).save("manifold.pt")
