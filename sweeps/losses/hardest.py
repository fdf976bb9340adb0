"""A miner of your own: for each anchor the farthest positive and the nearest negative (Hermans et al., 2017)."""

from typing import Dict, Tuple

import torch
from torch import Tensor


class Hardest(torch.nn.Module):
    def forward(self, batch: Dict[str, Tensor]) -> Tuple[Tensor, Tensor, Tensor]:
        distance = torch.cdist(batch["embeddings"], batch["references"])
        same = batch["labels"][:, None] == batch["reference_labels"][None, :]
        places = torch.arange(same.size(1), device=same.device)
        positive = same & (places[None, :] != batch["own"][:, None])
        anchor = torch.nonzero(positive.any(1) & (~same).any(1)).flatten()
        farthest = distance.masked_fill(~positive, -1.0).argmax(1)
        nearest = distance.masked_fill(same, float("inf")).argmin(1)
        return anchor, farthest[anchor], nearest[anchor]


torch.jit.script(Hardest()).save("hardest.pt")
