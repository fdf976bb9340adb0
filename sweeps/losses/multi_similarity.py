"""The multi-similarity loss (Wang et al., CVPR 2019) as a loss of your own: `python3 multi_similarity.py`."""

from typing import Dict

import torch
from torch import Tensor


class MultiSimilarity(torch.nn.Module):
    @torch.jit.export
    def settings(self) -> Dict[str, float]:
        return {"alpha": 2.0, "beta": 50.0, "base": 0.5}

    def forward(self, batch: Dict[str, Tensor]) -> Tensor:
        excess = batch["embeddings"] @ batch["references"].t() - batch["base"]
        same = batch["labels"][:, None] == batch["reference_labels"][None, :]
        places = torch.arange(same.size(1), device=same.device)
        positive = same & (places[None, :] != batch["own"][:, None])
        pull = (-batch["alpha"] * excess).exp().where(positive, torch.zeros_like(excess)).sum(1)
        push = (batch["beta"] * excess).exp().where(~same, torch.zeros_like(excess)).sum(1)
        return pull.log1p() / batch["alpha"] + push.log1p() / batch["beta"]


torch.jit.script(MultiSimilarity()).save("multi_similarity.pt")
