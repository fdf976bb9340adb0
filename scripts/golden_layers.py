"""Golden values of layer-wise learning rates, of weight decay on matrices alone, of averages of weights and of stochastic
depth, for scripts/golden.py.

The rules are timm's: which layer a parameter belongs to, whether it decays, how weights are averaged, and how often a block is
skipped.
"""

import numpy
import timm
import torch
from timm.optim import param_groups_layer_decay

# A backbone here, timm's name for it and the options of that name.
MODELS = {
    "resnet18": ("resnet18", {}),
    "vit_s16": ("vit_small_patch16_224", {}),
    "dinov2_s14 with registers": ("vit_small_patch14_reg4_dinov2", {"img_size": 224}),
    "dinov3_s16": ("vit_small_patch16_dinov3", {"qkv_bias": False}),
    "clip_b32": ("vit_base_patch32_clip_quickgelu_224", {}),
    "siglip_b16": ("vit_base_patch16_siglip_224", {}),
    "convnext_t": ("convnext_tiny", {}),
    "swin_t": ("swin_tiny_patch4_window7_224", {}),
}

random = numpy.random.default_rng(17)


def layers(write):
    """For each parameter: its layer, counted from the image on, and whether it decays. The classifier is the last one."""
    cases = []
    for backbone, (name, options) in MODELS.items():
        with torch.device("meta"):
            model = timm.create_model(name, num_classes=8, **options)
        never = model.no_weight_decay() if hasattr(model, "no_weight_decay") else ()
        groups = param_groups_layer_decay(model, weight_decay=1.0, no_weight_decay_list=never, layer_decay=0.5)
        scales = sorted({group["lr_scale"] for group in groups})
        found = {id(of): (scales.index(group["lr_scale"]), group["weight_decay"] > 0) for group in groups for of in group["params"]}
        parameters = {name: found[id(of)] for name, of in model.named_parameters()}
        cases.append({"backbone": backbone, "last": len(scales) - 1, "parameters": parameters})
    write("model", "layers", {"cases": cases})


def group_steps(write):
    """The end of ten steps of parameter groups with learning rates and weight decays of their own."""
    groups = [
        {"length": 3, "rate": 0.25, "decay": 1.0},
        {"length": 1, "rate": 0.25, "decay": 0.0},
        {"length": 2, "rate": 0.5, "decay": 0.0},
        {"length": 2, "rate": 0.5, "decay": 0.0},
        {"length": 4, "rate": 1.0, "decay": 1.0},
    ]
    sizes = [group["length"] for group in groups]
    start, gradients = random.standard_normal(sum(sizes)).round(3), random.standard_normal((10, sum(sizes))).round(3)
    cases = []
    for rule, make, settings in [
        ("adam", torch.optim.Adam, {"lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0.1}),
        ("adam_w", torch.optim.AdamW, {"lr": 0.1, "betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0.5}),
        ("rms_prop", torch.optim.RMSprop, {"lr": 0.01, "alpha": 0.9, "eps": 1e-8, "momentum": 0.9, "weight_decay": 0.1}),
        ("sgd", torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    ]:
        parts = [part.clone().requires_grad_() for part in torch.tensor(start).split(sizes)]
        optimizer = make(
            [
                {"params": [part], "lr": settings["lr"] * group["rate"], "weight_decay": settings["weight_decay"] * group["decay"]}
                for part, group in zip(parts, groups)
            ],
            foreach=False,
            **settings,
        )
        for gradient in gradients:
            for part, of_part in zip(parts, torch.tensor(gradient).split(sizes)):
                part.grad = of_part.clone()
            optimizer.step()
        cases.append({"rule": rule, "settings": settings, "end": torch.cat(parts).tolist()})
    write("optim", "group_steps", {"start": start.tolist(), "gradients": gradients.tolist(), "groups": groups, "cases": cases})


def averages(write):
    """The averages of a weight and of a running statistic after each of ten steps, by `ModelEmaV3`."""
    from timm.utils import ModelEmaV3

    model = torch.nn.BatchNorm1d(1).double()
    weights, means = random.standard_normal(11).round(3), random.standard_normal(11).round(3)
    cases = []
    for settings in [{"decay": 0.9}, {"decay": 0.999, "use_warmup": True}, {"decay": 0.6, "use_warmup": True}]:
        with torch.no_grad():
            model.weight.fill_(weights[0])
            model.running_mean.fill_(means[0])
        average = ModelEmaV3(model, foreach=False, **settings)
        path = []
        for step in range(1, 11):
            with torch.no_grad():
                model.weight.fill_(weights[step])
                model.running_mean.fill_(means[step])
            average.update(model, step=step)
            path.append([average.module.weight.item(), average.module.running_mean.item()])
        cases.append({"decay": settings["decay"], "warm_up": settings.get("use_warmup", False), "path": path})
    write("optim", "averages", {"weights": weights.tolist(), "means": means.tolist(), "cases": cases})


def drop_path(write):
    """How often an image skips each block."""
    from timm.layers import calculate_drop_path_rates

    cases = [(0.1, 12), (0.5, 18), (0.3, 2)]
    cases = [{"rate": rate, "rates": calculate_drop_path_rates(rate, blocks)} for rate, blocks in cases]
    write("model", "drop_path", {"cases": cases})


def write_all(write):
    layers(write)
    group_steps(write)
    averages(write)
    drop_path(write)
