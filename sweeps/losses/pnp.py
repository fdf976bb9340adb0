"""Penalizing negatives before positives (Li et al., AAAI 2022): `python3 pnp.py`.

Writes PNP-O, whose penalty is the number of negatives before a positive, and PNP-Dq, whose penalty grows ever more slowly
with it. As in pytorch-metric-learning, an image is among its own positives.
"""

from typing import Dict

import torch
from torch import Tensor


class Pnp(torch.nn.Module):
    def __init__(self, decreasing: bool):
        super().__init__()
        self.decreasing = decreasing

    @torch.jit.export
    def settings(self) -> Dict[str, float]:
        if self.decreasing:
            return {"anneal": 0.01, "alpha": 1.0}
        return {"anneal": 0.01}

    def forward(self, batch: Dict[str, Tensor]) -> Tensor:
        cosine = batch["embeddings"] @ batch["references"].t()
        same = batch["labels"][:, None] == batch["reference_labels"][None, :]
        difference = cosine[:, None, :] - cosine[:, :, None]
        exponent = (difference / batch["anneal"]).clamp(-50.0, 50.0)
        before = (exponent.sigmoid() * ~same[:, None, :]).sum(2)
        if self.decreasing:
            before = 1 - (1 + before) ** -batch["alpha"]
        return (before * same).sum(1) / same.sum(1).clamp(min=1)


torch.jit.script(Pnp(False)).save("pnp.pt")
torch.jit.script(Pnp(True)).save("pnp_dq.pt")
