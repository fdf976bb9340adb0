"""The dynamic soft margin loss (Zhang & Rusinkiewicz, ICCV 2019): `python3 dynamic_soft_margin.py`.

The violation of each triplet, d_ap - d_an, is weighted by the share of triplets with a smaller one. Differs from
pytorch-metric-learning: the distribution is that of the batch, without the momentum of earlier batches, because a module
keeps nothing from step to step; and it is a constant for the gradient, as in the paper.
"""

from typing import Dict

import torch
from torch import Tensor


class DynamicSoftMargin(torch.nn.Module):
    @torch.jit.export
    def settings(self) -> Dict[str, float]:
        return {"bins": 10.0}

    def distribution(self, place: Tensor, bins: int) -> Tensor:
        """Shares of triplets up to each bin; a triplet between two bins counts for both."""
        below = place.floor().long()
        above = place - below
        counts = torch.zeros(bins + 1, dtype=place.dtype, device=place.device)
        counts = counts.scatter_add(0, below, 1 - above)
        counts = counts.scatter_add(0, (below + 1).clamp(max=bins), above)
        return counts.cumsum(0) / counts.sum()

    def forward(self, batch: Dict[str, Tensor]) -> Tensor:
        distances = torch.cdist(
            batch["embeddings"], batch["references"], compute_mode="donot_use_mm_for_euclid_dist"
        )
        same = batch["labels"][:, None] == batch["reference_labels"][None, :]
        places = torch.arange(same.size(1), device=same.device)
        positive = same & (places[None, :] != batch["own"][:, None])
        triplets = positive[:, :, None] & ~same[:, None, :]
        if not bool(triplets.any()):
            return batch["embeddings"].sum() * 0.0
        excess = (distances[:, :, None] - distances[:, None, :])[triplets]
        bins = int(batch["bins"])
        # Distances lie between 0 and 2, so their differences between -2 and 2.
        place = ((excess.detach() + 2.0) * bins / 4.0).clamp(0.0, float(bins))
        return (self.distribution(place, bins)[place.long()] * excess).mean()


torch.jit.script(DynamicSoftMargin()).save("dynamic_soft_margin.pt")
