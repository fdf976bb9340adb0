"""The instance loss (Zheng et al., TOMM 2020) on images alone: `python3 instance.py`.

Cross entropy of choosing an image of the own class, itself included, among all of the batch. The same as
pytorch-metric-learning where each image is a class of its own. Where classes have several images, that takes the number of
a class for the number of an image, so that its value depends on the order of the batch.
"""

from typing import Dict

import torch
from torch import Tensor


class Instance(torch.nn.Module):
    @torch.jit.export
    def settings(self) -> Dict[str, float]:
        return {"gamma": 64.0}

    def forward(self, batch: Dict[str, Tensor]) -> Tensor:
        logits = batch["gamma"] * (batch["embeddings"] @ batch["references"].t())
        same = batch["labels"][:, None] == batch["reference_labels"][None, :]
        own = logits.masked_fill(~same, -1e9).logsumexp(1)
        return (logits.logsumexp(1) - own) * same.any(1)


torch.jit.script(Instance()).save("instance.pt")
