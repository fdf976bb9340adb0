"""ProxyNCA (Movshovitz-Attias et al., ICCV 2017), a loss with trained proxies, as a loss of your own."""

from typing import Dict

import torch
import torch.nn.functional as F
from torch import Tensor


class ProxyNca(torch.nn.Module):
    @torch.jit.export
    def settings(self) -> Dict[str, float]:
        return {"scale": 8.0}

    @torch.jit.export
    def initial_parameters(self, classes: int, width: int) -> Dict[str, Tensor]:
        return {"proxies": torch.randn(classes, width)}

    def forward(self, batch: Dict[str, Tensor]) -> Tensor:
        proxies = F.normalize(batch["proxies"], dim=1)
        squared = 2.0 - 2.0 * batch["embeddings"] @ proxies.t()
        return F.cross_entropy(-batch["scale"] * squared, batch["labels"], reduction="none")


torch.jit.script(ProxyNca()).save("proxy_nca.pt")
