"""Golden values of options of optimisers, of clipping and of schedules, for scripts/golden.py."""

import numpy
import torch

random = numpy.random.default_rng(11)


def option_steps(write):
    """Twenty steps with given gradients, in parts, so that settings of the options differ from their defaults."""
    start, gradients = random.standard_normal(5).round(3), random.standard_normal((20, 5)).round(3)
    gradients[:, 3] *= 1e-4
    gradients[5:9, 4] = 0.0
    adam = {"lr": 0.1, "betas": [0.9, 0.99], "weight_decay": 0.01}
    rms_prop = {"lr": 0.01, "alpha": 0.9, "eps": 1e-8, "momentum": 0.9, "weight_decay": 1e-4}
    sgd = {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}
    cases = []
    for name, make, settings in [
        ("adam", torch.optim.Adam, adam | {"eps": 1.0}),
        ("adam", torch.optim.Adam, adam | {"eps": 1e-8, "amsgrad": True}),
        ("adam_w", torch.optim.AdamW, adam | {"eps": 1e-8, "amsgrad": True}),
        ("rms_prop", torch.optim.RMSprop, rms_prop | {"centered": True}),
        ("rms_prop", torch.optim.RMSprop, rms_prop | {"centered": True, "momentum": 0.0, "eps": 1e-2}),
        ("sgd", torch.optim.SGD, sgd | {"nesterov": True}),
        ("sgd", torch.optim.SGD, sgd | {"dampening": 0.3}),
        ("sgd", torch.optim.SGD, sgd | {"dampening": 0.3, "momentum": 0.0}),
    ]:
        parameters = torch.tensor(start, requires_grad=True)
        optimiser = make([parameters], foreach=False, **settings)
        path = []
        for gradient in gradients:
            parameters.grad = torch.tensor(gradient)
            optimiser.step()
            path.append(parameters.tolist())
        cases.append({"rule": name, "settings": settings, "path": path})
    write("optim", "option_steps", {"start": start.tolist(), "gradients": gradients.tolist(), "cases": cases})


def clipping(write):
    gradient = (3.0 * random.standard_normal(7)).round(3)
    clip = {"norm": torch.nn.utils.clip_grad_norm_, "value": torch.nn.utils.clip_grad_value_}
    cases = []
    for by, bound in [(by, bound) for by in clip for bound in [0.5, 3.0, 100.0]]:
        parameters = torch.zeros(7, dtype=torch.float64, requires_grad=True)
        parameters.grad = torch.tensor(gradient)
        clip[by]([parameters], bound)
        cases.append({"by": by, "bound": bound, "clipped": parameters.grad.tolist()})
    write("optim", "clip", {"gradient": gradient.tolist(), "cases": cases})


def schedules(write):
    from torch.optim import lr_scheduler as of

    constant = lambda optimiser, case: of.ConstantLR(optimiser, 1.0)
    step = lambda optimiser, case: of.StepLR(optimiser, case["every"], case["factor"])
    multi_step = lambda optimiser, case: of.MultiStepLR(optimiser, case["at"], case["factor"])
    # The learning rate is 1, so that the least rate is the floor.
    cosine = lambda optimiser, case: of.CosineAnnealingLR(optimiser, case["over"], case["floor"])
    named = {"constant": constant, "step": step, "multi_step": multi_step, "cosine": cosine}
    cases = [
        {"schedule": "constant"},
        {"schedule": "step", "every": 7, "factor": 0.5},
        {"schedule": "step", "every": 1, "factor": 0.94},
        {"schedule": "multi_step", "at": [3, 12, 12, 20], "factor": 0.3},
        {"schedule": "cosine", "over": 30, "floor": 0.0},
        {"schedule": "cosine", "over": 30, "floor": 0.05},
        {"schedule": "constant", "warm_up": 5, "from": 0.1},
        {"schedule": "step", "every": 7, "factor": 0.5, "warm_up": 10, "from": 0.01},
        {"schedule": "multi_step", "at": [3, 20], "factor": 0.1, "warm_up": 5, "from": 0.5},
    ]
    for case in cases:
        optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        chain = [named[case["schedule"]](optimiser, case)]
        if "warm_up" in case:
            chain.append(of.LinearLR(optimiser, case["from"], 1.0, case["warm_up"]))
        scheduler = of.ChainedScheduler(chain)
        case["factors"] = []
        for _ in range(31):
            case["factors"].append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            scheduler.step()
    write("optim", "schedules", {"cases": cases})


def plateaus(write):
    scores = [0.1, 0.2, 0.2, 0.2001, 0.19, 0.3, 0.29, 0.3, 0.3, 0.3, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1]
    cases = [
        {"patience": 4, "factor": 0.1, "threshold": 1e-4, "cooldown": 0, "floor": 0.0},
        {"patience": 1, "factor": 0.5, "threshold": 1e-4, "cooldown": 2, "floor": 0.2},
        {"patience": 0, "factor": 0.3, "threshold": 0.1, "cooldown": 1, "floor": 0.0},
    ]
    for case in cases:
        optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        settings = {key: case[key] for key in ["patience", "factor", "threshold", "cooldown"]}
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, mode="max", min_lr=case["floor"], eps=0.0, **settings)
        case["factors"] = []
        for score in scores:
            scheduler.step(score)
            case["factors"].append(optimiser.param_groups[0]["lr"])
    write("optim", "plateau", {"scores": scores, "cases": cases})


def write_all(write):
    option_steps(write)
    clipping(write)
    schedules(write)
    plateaus(write)
