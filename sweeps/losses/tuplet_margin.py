"""The tuplet margin loss with intra-pair variance (Yu & Tao, ICCV 2019): `python3 tuplet_margin.py`.

With variance_weight = 0 it is the tuplet margin loss alone; pytorch-metric-learning suggests 0.5 for the sum.
"""

from typing import Dict

import torch
from torch import Tensor


class TupletMargin(torch.nn.Module):
    @torch.jit.export
    def settings(self) -> Dict[str, float]:
        return {"margin": 5.73, "scale": 64.0, "variance_weight": 0.5, "pos_eps": 0.01, "neg_eps": 0.01}

    def tuplets(self, batch: Dict[str, Tensor], cosine: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Mean over positive pairs of log(1 + sum of exp(scale (s_an - cos(angle_ap - margin))))."""
        angle = cosine.clamp(-1 + 1e-7, 1 - 1e-7).acos()
        closer = (angle - torch.deg2rad(batch["margin"])).cos()
        far = (batch["scale"] * cosine).masked_fill(~negative, -1e9).logsumexp(1, keepdim=True)
        return torch.nn.functional.softplus(far - batch["scale"] * closer)[positive].mean()

    def forward(self, batch: Dict[str, Tensor]) -> Tensor:
        cosine = batch["embeddings"] @ batch["references"].t()
        same = batch["labels"][:, None] == batch["reference_labels"][None, :]
        places = torch.arange(same.size(1), device=same.device)
        positive = same & (places[None, :] != batch["own"][:, None])
        value = batch["embeddings"].sum() * 0.0
        if bool(positive.any()) and not bool(same.all()):
            value = value + self.tuplets(batch, cosine, positive, ~same)
        if bool(positive.any()):
            near = cosine[positive]
            spread = ((1 - batch["pos_eps"]) * near.mean() - near).relu()
            value = value + batch["variance_weight"] * spread.square().mean()
        if not bool(same.all()):
            far = cosine[~same]
            spread = (far - (1 + batch["neg_eps"]) * far.mean()).relu()
            value = value + batch["variance_weight"] * spread.square().mean()
        return value


torch.jit.script(TupletMargin()).save("tuplet_margin.pt")
