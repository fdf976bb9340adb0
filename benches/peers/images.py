"""The decoding of benches/loader.rs with torchvision: Pillow and a DataLoader with workers."""

import argparse
import json
import os
import time
from pathlib import Path

import torch
from PIL import Image
from torchvision import transforms


class Photographs(torch.utils.data.Dataset):
    def __init__(self, folder):
        self.paths = sorted(Path(folder).iterdir())
        steps = [transforms.Resize(256), transforms.CenterCrop(224), transforms.PILToTensor()]
        self.transform = transforms.Compose(steps)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, number):
        return self.transform(Image.open(self.paths[number]).convert("RGB"))


def photographs(folder, count):
    """Writes files like photographs: 348 pixels on the shorter side, smooth with some noise."""
    random = torch.Generator().manual_seed(0)
    folder.mkdir(parents=True)
    for number in range(count):
        coarse = torch.rand(1, 3, 12, 16, generator=random)
        fine = torch.nn.functional.interpolate(coarse, size=(348, 464), mode="bicubic")[0]
        fine = fine + 0.05 * torch.randn(fine.shape, generator=random)
        pixels = (fine.clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"{number:04}.jpg", quality=90)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--make", type=int, help="make this number of files instead of reading them")
    args = parser.parse_args()
    if args.make:
        return photographs(args.folder, args.make)
    torch.set_num_threads(1)
    loader = torch.utils.data.DataLoader(Photographs(args.folder), batch_size=128, num_workers=args.workers)
    begun, spent_before = time.perf_counter(), spent()
    count = sum(len(batch) for batch in loader)
    rate, milliseconds = count / (time.perf_counter() - begun), (spent() - spent_before) * 1000 / count
    print(json.dumps({"name": "decode", "images_per_second": rate, "processor_milliseconds": milliseconds}))


def spent():
    """Returns the processor seconds of this process and its finished workers."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    main()
