"""P2SGrad (Zhang et al., CVPR 2019) as squared errors of cosines, whose gradient it is: `python3 p2s_grad.py`.

Differs from pytorch-metric-learning in the gradient of the weights: that scales them to length one after each step, here
it is a part of the function.
"""

from typing import Dict

import torch
import torch.nn.functional as F
from torch import Tensor


class P2sGrad(torch.nn.Module):
    @torch.jit.export
    def initial_parameters(self, classes: int, width: int) -> Dict[str, Tensor]:
        return {"weights": F.normalize(2 * torch.rand(classes, width) - 1, dim=1)}

    def forward(self, batch: Dict[str, Tensor]) -> Tensor:
        weights = F.normalize(batch["weights"], dim=1)
        cosine = F.normalize(batch["embeddings"], dim=1) @ weights.t()
        wanted = F.one_hot(batch["labels"], weights.size(0))
        return (cosine - wanted).square().mean(1)


torch.jit.script(P2sGrad()).save("p2s_grad.pt")
