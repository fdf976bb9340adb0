"""The ranked list loss (Wang et al., CVPR 2019): `python3 ranked_list.py`.

Positives farther than alpha - margin are pulled, negatives closer than alpha are pushed, with weights that grow with the
violation at the temperatures tp and tn. As in pytorch-metric-learning, the weights have gradients.
"""

from typing import Dict

import torch
from torch import Tensor


class RankedList(torch.nn.Module):
    @torch.jit.export
    def settings(self) -> Dict[str, float]:
        return {"alpha": 1.2, "margin": 0.4, "imbalance": 0.5, "tp": 0.0, "tn": 10.0}

    def mean(self, excess: Tensor, temperature: Tensor, chosen: Tensor) -> Tensor:
        """Weighted mean of each row over the chosen pairs."""
        excess = excess.where(chosen, torch.zeros_like(excess))
        weights = (temperature * excess).exp() * chosen
        return (weights * excess).sum(1) / (weights + 1e-5).sum(1)

    def forward(self, batch: Dict[str, Tensor]) -> Tensor:
        distances = torch.cdist(
            batch["embeddings"], batch["references"], compute_mode="donot_use_mm_for_euclid_dist"
        )
        same = batch["labels"][:, None] == batch["reference_labels"][None, :]
        places = torch.arange(same.size(1), device=same.device)
        positive = same & (places[None, :] != batch["own"][:, None])
        too_far = distances - (batch["alpha"] - batch["margin"])
        too_close = batch["alpha"] - distances
        pull = self.mean(too_far, batch["tp"], positive & (too_far > 0) & (distances > 0))
        push = self.mean(too_close, batch["tn"], ~same & (too_close > 0) & (distances > 0))
        return (1 - batch["imbalance"]) * pull + batch["imbalance"] * push


torch.jit.script(RankedList()).save("ranked_list.pt")
