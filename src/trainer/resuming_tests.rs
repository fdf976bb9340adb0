//! A training with any optimizer, schedule, memory or sampler that is stopped and continued has the same results.

use schema::{
    Activation, AdamW, Additive, Adversarial, AnchorNeighbor, Binomial, Boost, Cascade, CascadeOf,
    ClassBalanced, Clip, Cosine, Decayed, Diversity, Divide, Ema, EmbeddingHead, FixedPairs,
    Hierarchical, HierarchicalTriplet, Join, Links, MemoryInit, MemoryKey, MemoryWrap, Miner,
    MultiStep, Plateau, RandomSampler, Schedule, Span, StepSchedule, Straddling, Survey, TreeOf,
    WarmUp, WeightedLoss,
};

use super::*;

type Change = fn(&mut Training);

/// One change for each value of each choice. Each recipe has the n-th value of every choice, so that all pairs of
/// neighbours meet, not all combinations.
const OPTIMIZERS: [Change; 8] = [
    |training| {
        training.optimizer = Optimizer::Adam(Adam {
            amsgrad: true,
            ..Adam::default()
        })
    },
    |training| {
        training.optimizer = Optimizer::AdamW(AdamW {
            amsgrad: true,
            ..AdamW::default()
        })
    },
    |training| {
        training.optimizer = Optimizer::RmsProp(RmsProp {
            centered: true,
            ..RmsProp::default()
        })
    },
    |training| {
        training.optimizer = Optimizer::RmsProp(RmsProp {
            momentum: 0.9,
            ..RmsProp::default()
        })
    },
    |training| {
        training.optimizer = Optimizer::Sgd(Sgd {
            lr: 0.1,
            momentum: 0.9,
            nesterov: true,
            ..Sgd::default()
        });
    },
    |training| {
        training.optimizer = Optimizer::Sgd(Sgd {
            lr: 0.1,
            momentum: 0.9,
            dampening: 0.2,
            ..Sgd::default()
        });
    },
    |training| {
        training.layer_decay = Some(0.5);
        training.weight_decay_on = Decayed::Matrices;
    },
    |training| {
        training.head_optimizer = Some(Optimizer::Sgd(Sgd {
            lr: 0.1,
            momentum: 0.5,
            ..Sgd::default()
        }))
    },
];

const SCHEDULES: [Change; 6] = [
    |training| {
        training.schedule = Schedule::Step(StepSchedule {
            every: Span::Epochs(1),
            factor: 0.5,
        })
    },
    |training| {
        training.schedule = Schedule::MultiStep(MultiStep {
            at: Span::Steps(vec![2, 3]),
            factor: 0.1,
        })
    },
    |training| training.schedule = Schedule::Cosine(Cosine::default()),
    |training| {
        let plateau = Plateau {
            patience: 0,
            factor: 0.5,
            threshold: 0.5,
            cooldown: 1,
            ..Plateau::default()
        };
        training.schedule = Schedule::Plateau(plateau);
    },
    |training| {
        training.warm_up = Some(WarmUp {
            over: Span::Epochs(2),
            from: 0.1,
        })
    },
    |training| training.freeze_trunk = Some(Span::Steps(3)),
];

const MEMORIES: [Change; 5] = [
    |training| training.memory = None,
    |training| remember(training, |xbm| xbm.wrap = MemoryWrap::Tail),
    |training| remember(training, |xbm| xbm.key = MemoryKey::Unique),
    |training| remember(training, |xbm| xbm.init = MemoryInit::ForwardPass),
    |training| remember(training, |xbm| xbm.include_batch = false),
];

const SAMPLERS: [Change; 5] = [
    |training| {
        training.sampler = Sampler::MPerClass(MPerClass {
            batch: 12,
            per_class: 4,
        })
    },
    |training| {
        training.sampler = Sampler::Straddling(Straddling {
            batch: 12,
            per_class: 4,
        })
    },
    |training| training.sampler = Sampler::Random(RandomSampler { batch: 12 }),
    |training| training.sampler = Sampler::ClassBalanced(ClassBalanced { batch: 12 }),
    |training| training.sampler = Sampler::FixedPairs(FixedPairs { batch: 12 }),
];

const STEPS: [Change; 6] = [
    |training| training.accumulate = 2,
    |training| training.chunk = Some(5),
    |training| training.clip = Some(Clip::Norm(0.1)),
    |training| training.clip = Some(Clip::Value(1e-3)),
    |training| training.patience = Some(2),
    |training| {
        training.ema = Some(Ema {
            decay: 0.9,
            warm_up: true,
        })
    },
];

const LOSSES: [Change; 3] = [
    |training| training.loss = Loss::Contrastive(Contrastive::default()),
    |training| training.loss = Loss::ProxyAnchor(ProxyAnchor::default()),
    |training| {
        training.loss_optimizer = Some(Optimizer::RmsProp(RmsProp {
            momentum: 0.9,
            ..RmsProp::default()
        }));
        training.loss = Loss::Margin(Margin {
            boundary: Boundary::PerClass,
            nu: 0.1,
            ..Margin::default()
        });
    },
];

fn remember(training: &mut Training, change: fn(&mut Xbm)) {
    let mut xbm = Xbm {
        start_step: 1,
        weight: 0.5,
        ..Xbm::new(MemorySize::Size(20))
    };
    change(&mut xbm);
    training.memory = Some(Memory::Xbm(xbm));
}

fn nth(n: usize) -> Recipe {
    changed(stateful(), |_, training| {
        training.steps = 6;
        training.validate_every = Some(1);
        // Combinations meet as if by chance: each choice goes round at a pace of its own.
        for changes in [
            &OPTIMIZERS[..],
            &SCHEDULES,
            &MEMORIES,
            &SAMPLERS,
            &STEPS,
            &LOSSES,
        ] {
            changes[(n + n / changes.len()) % changes.len()](training);
        }
    })
}

/// What is said that does not tell of time or of interruptions.
fn lasting(event: &Event) -> bool {
    matches!(event, Event::Scores { .. } | Event::Memory { .. })
}

/// Trains until an event stops it. Returns the end, and what was said that lasts.
fn said(
    place: &Place,
    work: Work,
    stops: impl Fn(&Event) -> bool + Sync,
) -> (Result<End, Failed>, Vec<Event>) {
    let (stop, mut said) = (Stop::new(), Vec::new());
    let end = place.listen(work, &stop.clone(), &mut |event| {
        if stops(&event) {
            stop.request();
        }
        said.extend(Some(event).filter(lasting));
    });
    (end, said)
}

/// Trains the place's recipe without a break, and with one after a step that `n` chooses.
fn leaves_no_trace(place: &Place, n: usize) {
    let (undisturbed, all) = said(
        place,
        place.train(&format!("whole{n}"), f64::INFINITY),
        |_| false,
    );
    let undisturbed = trained(undisturbed);
    assert!(
        undisturbed.steps > 1 && all.len() as u64 > undisturbed.steps,
        "{:?}",
        place.recipe
    );
    let last = 1 + n as u64 % (undisturbed.steps - 1);
    let (end, before) = said(place, place.train(&format!("parts{n}"), 0.0), |event| {
        *event == Event::Checkpoint { step: last }
    });
    assert_eq!(end, Ok(End::Stopped), "{:?}", place.recipe);
    let (end, after) = said(
        place,
        place.train(&format!("parts{n}"), f64::INFINITY),
        |_| false,
    );
    assert_eq!(trained(end), undisturbed, "{:?}", place.recipe);
    assert_eq!([before, after].concat(), all, "{:?}", place.recipe);
    let same = place.model(&format!("whole{n}")) == place.model(&format!("parts{n}"));
    assert!(same, "stopped after {last} steps: {:?}", place.recipe);
}

#[test]
fn an_interrupted_validation_is_done_again() {
    let mut place = Place::new(stateful());
    place.recipe = nth(0);
    let (undisturbed, all) = said(&place, place.train("whole", f64::INFINITY), |_| false);
    // Progress is reported between the first step and its validation.
    let is_progress = |event: &Event| matches!(event, Event::Progress { .. });
    let (end, before) = said(&place, place.train("parts", f64::INFINITY), is_progress);
    assert_eq!(end, Ok(End::Stopped));
    let scores = |said: &[Event]| {
        said.iter()
            .filter(|event| matches!(event, Event::Scores { .. }))
            .count()
    };
    assert_eq!(
        scores(&before),
        1,
        "only the validation before the first step"
    );
    let (end, after) = said(&place, place.train("parts", f64::INFINITY), |_| false);
    assert_eq!(trained(end), trained(undisturbed));
    assert_eq!([before, after].concat(), all);
    assert!(place.model("whole") == place.model("parts"));
}

#[test]
fn whatever_is_chosen_an_interruption_leaves_no_trace() {
    let mut place = Place::new(stateful());
    for n in 0..15 {
        place.recipe = nth(n);
        leaves_no_trace(&place, n);
    }
}

/// Data with super-classes, and classes so small that images are repeated.
#[test]
fn batches_of_super_classes_and_of_small_classes_continue_without_a_trace() {
    let mut place = in_shop::place(stateful());
    let hierarchical = Hierarchical {
        batch: 12,
        super_classes: 2,
        per_class: 3,
    };
    let samplers = [
        Sampler::Hierarchical(hierarchical),
        Sampler::MPerClass(MPerClass {
            batch: 12,
            per_class: 3,
        }),
        Sampler::Straddling(Straddling {
            batch: 12,
            per_class: 5,
        }),
    ];
    for (n, sampler) in samplers.into_iter().enumerate() {
        place.recipe = changed(nth(n), |recipe, training| {
            recipe.dataset = Dataset::InShop;
            training.sampler = sampler;
            // Fewer images are trained on than in the tests above.
            if let Some(Memory::Xbm(xbm)) = &mut training.memory {
                xbm.size = MemorySize::Size(10);
            }
        });
        leaves_no_trace(&place, n);
    }
}

#[test]
fn losses_and_miners_of_the_user_continue_without_a_trace() {
    let mut place = Place::new(stateful());
    let [pairs, proxies, hardest] =
        ["multi_similarity", "proxy_nca", "hardest"].map(|name| place.script(name));
    let with_miner = WeightedLoss {
        miner: Some(Miner::Torchscript(hardest.clone())),
        ..WeightedLoss::of(Loss::Triplet(Triplet::default()))
    };
    let sum = vec![
        WeightedLoss::of(Loss::Torchscript(proxies.clone())),
        with_miner,
    ];
    let losses = [
        Loss::Torchscript(pairs),
        Loss::Torchscript(proxies),
        Loss::Sum(sum),
    ];
    for (n, loss) in losses.into_iter().enumerate() {
        place.recipe = changed(nth(n), |recipe, training| {
            recipe.model.precision = [Precision::F32, Precision::Bf16][n % 2];
            (training.loss, training.miner, training.distance) = (loss, None, None);
        });
        leaves_no_trace(&place, n);
    }
}

#[test]
fn a_module_that_is_not_the_one_of_the_recipe_is_refused() {
    let mut place = Place::new(stateful());
    let script = place.script("multi_similarity");
    let path = place.scripts().join(script.file.file_name());
    place.recipe = changed(stateful(), |_, training| {
        training.loss = Loss::Torchscript(script);
    });
    fs::write(&path, b"something else").unwrap();
    let failed = place
        .attempt(place.train("changed", f64::INFINITY))
        .unwrap_err();
    assert!(
        failed.message.contains("has been changed"),
        "{}",
        failed.message
    );
    fs::remove_file(&path).unwrap();
    place
        .attempt(place.train("gone", f64::INFINITY))
        .unwrap_err();
}

fn surveyed(training: &mut Training, every: u64, per_class: Option<u32>) {
    training.survey = Some(Survey {
        every: Span::Steps(every),
        per_class,
    });
    training.sampler = Sampler::AnchorNeighbor(AnchorNeighbor {
        batch: 12,
        neighbors: 1,
        per_class: 3,
    });
    training.loss = Loss::HierarchicalTriplet(HierarchicalTriplet {
        tree: TreeOf::Survey,
        ..HierarchicalTriplet::default()
    });
    training.loss_optimizer = None;
}

#[test]
fn surveys_continue_without_a_trace() {
    let mut place = Place::new(stateful());
    for n in 0..6 {
        let per_class = (n % 2 == 1).then_some(2);
        place.recipe = changed(nth(n), |_, training| surveyed(training, 2, per_class));
        leaves_no_trace(&place, n);
    }
}

#[test]
fn a_survey_changes_what_is_trained_after_it_and_nothing_before() {
    let mut place = Place::new(stateful());
    let mut model = |steps: u64, every: u64| {
        place.recipe = changed(stateful(), |recipe, training| {
            // The last network is kept.
            (recipe.fold, training.validate_every) = (None, None);
            training.steps = steps;
            surveyed(training, every, None);
        });
        let name = format!("{steps} {every}");
        place.trained(&name);
        place.model(&name)
    };
    assert!(model(2, 2) == model(2, 5));
    assert!(model(3, 2) != model(3, 5));
}

#[test]
fn every_choice_changes_what_is_trained() {
    let mut place = Place::new(stateful());
    let base = changed(stateful(), |_, training| training.steps = 3);
    let mut model = |name: &str, change: Change| {
        place.recipe = changed(base.clone(), |_, training| change(training));
        place.trained(name);
        place.model(name)
    };
    let plain = model("plain", |_| {});
    for (place, change) in OPTIMIZERS
        .iter()
        .chain(&SCHEDULES[..3])
        .chain(&SCHEDULES[4..])
        .enumerate()
    {
        assert!(
            model(&format!("change{place}"), *change) != plain,
            "change {place}"
        );
    }
    for (place, change) in STEPS[..4].iter().enumerate() {
        assert!(
            model(&format!("step{place}"), *change) != plain,
            "step {place}"
        );
    }
}

/// Three heads, one of which pools a map before the last one.
fn three_heads(recipe: &mut Recipe) {
    recipe.model.heads = [2, 3, 3].map(EmbeddingHead::of_width).to_vec();
    recipe.model.heads[0].tap = Some("block3".to_owned());
    recipe.model.join = Join::Width;
}

fn boosts() -> [Option<Boost>; 3] {
    let additive = Additive {
        shrinkage: 0.5,
        initial: -0.1,
        negatives: 2.0,
    };
    [None, Some(Boost::Average), Some(additive.into())]
}

fn cascades() -> [Option<Cascade>; 3] {
    let cascade = |of| {
        Some(Cascade {
            shares: vec![1.0, 0.5, 0.25],
            of,
        })
    };
    [None, cascade(CascadeOf::Previous), cascade(CascadeOf::All)]
}

fn diversities() -> [Option<Diversity>; 3] {
    let adversarial = Adversarial {
        weight: 0.1,
        norm: 1.0,
        hidden: 4,
    };
    let activation = Activation {
        weight: 0.1,
        norm: 1.0,
    };
    [None, Some(activation.into()), Some(adversarial.into())]
}

fn all_links() -> Vec<Links> {
    let mut all = Vec::new();
    for boost in boosts() {
        for cascade in cascades() {
            for diversity in diversities() {
                all.push(Links {
                    boost: boost.clone(),
                    cascade: cascade.clone(),
                    diversity,
                    divide: None,
                });
            }
        }
    }
    all
}

fn linkable() -> [Loss; 3] {
    [
        Loss::Binomial(Binomial::default()),
        // Some pairs of an untrained network satisfy these margins.
        Loss::Contrastive(Contrastive {
            pos_margin: 0.3,
            neg_margin: 0.5,
            power: 1.0,
        }),
        Loss::Triplet(Triplet {
            smooth: true,
            ..Triplet::default()
        }),
    ]
}

#[test]
fn linked_heads_continue_without_a_trace() {
    let mut place = Place::new(stateful());
    for (n, links) in all_links().into_iter().enumerate().step_by(4) {
        place.recipe = changed(nth(n), |recipe, training| {
            three_heads(recipe);
            training.loss = linkable()[n % 3].clone();
            (training.loss_optimizer, training.links) = (None, links);
        });
        leaves_no_trace(&place, n);
    }
}

#[test]
fn divided_heads_continue_without_a_trace_and_until_a_time() {
    let mut place = Place::new(stateful());
    let divided = |steps: u64, until: Option<Span>, divides: bool| {
        changed(stateful(), |recipe, training| {
            three_heads(recipe);
            (training.memory, training.steps) = (None, steps);
            training.sampler = Sampler::Random(RandomSampler { batch: 6 });
            training.validate_every = Some(1);
            training.survey = Some(Survey {
                every: Span::Steps(2),
                per_class: None,
            });
            training.links.divide = divides.then_some(Divide { until });
        })
    };
    for (n, until) in [None, Some(Span::Steps(4))].into_iter().enumerate() {
        place.recipe = divided(7, until, true);
        leaves_no_trace(&place, 2 * n);
        leaves_no_trace(&place, 2 * n + 1);
    }
    let mut last = |name: &str, recipe: Recipe| {
        // The last network is kept.
        place.recipe = changed(recipe, |recipe, training| {
            (recipe.fold, training.validate_every) = (None, None);
        });
        place.trained(name);
        place.model(name)
    };
    let always = last("always", divided(7, None, true));
    assert!(always != last("for a time", divided(7, Some(Span::Steps(4)), true)));
    assert!(always != last("never", divided(7, None, false)));
}

#[test]
fn each_head_is_measured_alone_and_a_single_head_is_not() {
    let mut place = Place::new(stateful());
    place.recipe = changed(stateful(), |recipe, _| three_heads(recipe));
    place.trained("heads");
    let evaluated = place.evaluated("heads");
    assert_eq!(evaluated.heads.len(), 3);
    for head in &evaluated.heads {
        assert!(head.keys().eq(evaluated.scores.keys()));
        assert!(head.values().all(|value| (0.0..=1.0).contains(value)));
    }
    assert!(evaluated.heads[0] != evaluated.heads[1]);
    place.recipe = stateful();
    place.trained("one");
    assert_eq!(place.evaluated("one").heads.len(), 0);
}

#[test]
fn heads_with_losses_of_their_own_continue_without_a_trace() {
    let mut place = Place::new(stateful());
    let losses = [
        Loss::ProxyAnchor(ProxyAnchor::default()),
        Loss::Margin(Margin::default()),
        Loss::Sum(linkable().map(WeightedLoss::of).to_vec()),
    ];
    place.recipe = changed(nth(1), |recipe, training| {
        three_heads(recipe);
        training.memory = None;
        training.heads = losses.map(WeightedLoss::of).to_vec();
    });
    leaves_no_trace(&place, 1);
}

#[test]
fn heads_are_trained_with_every_combination_of_links_and_each_link_changes_them() {
    let mut place = Place::new(stateful());
    let is_single = |links: &Links| {
        let chosen = [
            links.boost.is_some(),
            links.cascade.is_some(),
            links.diversity.is_some(),
        ];
        chosen.into_iter().filter(|chosen| *chosen).count() == 1
    };
    for (n, loss) in linkable().into_iter().enumerate() {
        for (m, links) in all_links().into_iter().enumerate() {
            let changes = is_single(&links);
            place.recipe = changed(stateful(), |recipe, training| {
                three_heads(recipe);
                (recipe.fold, training.validate_every) = (None, None);
                (training.loss, training.links) = (loss.clone(), links);
                training.steps = 3;
            });
            let name = format!("{n} {m}");
            let end = place.trained(&name);
            assert_eq!((end.end, end.steps), (TrainingEnd::Completed, 3), "{name}");
            let is_other = place.model(&name) != place.model(&format!("{n} 0"));
            assert!(is_other || !changes, "{name}");
        }
    }
}

#[test]
fn networks_on_label_maps_differ_and_continue_without_a_trace() {
    let mut place = Place::new(stateful());
    let mut models = std::collections::BTreeSet::new();
    for index in 0..3 {
        place.recipe = changed(stateful(), |_, training| {
            training.loss = Loss::ProxyAnchor(ProxyAnchor::default());
            training.memory = None;
            training.sampler = Sampler::Random(RandomSampler { batch: 12 });
            training.validate_every = Some(1);
            training.label_map = Some(schema::LabelMap { classes: 3, index });
        });
        leaves_no_trace(&place, index as usize);
        models.insert(place.model(&format!("whole{index}")));
    }
    assert_eq!(models.len(), 3);
}

#[test]
fn a_label_map_of_more_classes_than_there_are_is_refused() {
    let mut place = Place::new(stateful());
    place.recipe = changed(stateful(), |_, training| {
        training.label_map = Some(schema::LabelMap {
            classes: 99,
            index: 0,
        });
    });
    assert_eq!(place.fails("too many").class, Failure::Recipe);
}
