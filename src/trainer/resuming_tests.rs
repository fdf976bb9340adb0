//! A training with any optimizer, schedule, memory or sampler that is stopped and continued has the same results.

use schema::{
    Activation, AdamW, Additive, Adversarial, AnchorNeighbor, Auxiliary, BeyondMargin, Binomial,
    Boost, Cascade, CascadeOf, ClassBalanced, Clip, Combination, Cosine, Decayed, Diversity,
    Divide, Ema, EmbeddingHead, FixedPairs, Hierarchical, HierarchicalTriplet, Join, Links,
    MemoryInit, MemoryKey, MemoryWrap, Miner, MultiStep, NearestImages, Plateau, RandomSampler,
    Schedule, Span, StepSchedule, Straddling, Survey, TreeOf, WarmUp, WeightedLoss,
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

/// Samples classes that surveys find near each other.
fn sampled_by_surveys(training: &mut Training, every: u64, per_class: Option<u32>) {
    training.survey = Some(Survey {
        every: Span::Steps(every),
        per_class,
    });
    training.sampler = Sampler::AnchorNeighbor(AnchorNeighbor {
        batch: 12,
        neighbors: 1,
        per_class: 3,
    });
}

fn surveyed(training: &mut Training, every: u64, per_class: Option<u32>) {
    sampled_by_surveys(training, every, per_class);
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
fn images_that_surveys_find_near_each_other_continue_without_a_trace() {
    let mut place = Place::new(stateful());
    for n in 0..4 {
        place.recipe = changed(nth(n), |_, training| {
            sampled_by_surveys(training, 2, None);
            training.sampler = Sampler::NearestImages(NearestImages {
                batch: 12,
                neighbors: 1,
                among: 3,
            });
        });
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

/// Sets three heads: the first has auxiliary layers, the second dropout, and the last pools an earlier map.
fn three_heads(recipe: &mut Recipe) {
    recipe.model.heads = [2, 3, 3].map(EmbeddingHead::of_width).to_vec();
    recipe.model.heads[0].tap = Some("block1".to_owned());
    recipe.model.heads[0].auxiliary = Some(Auxiliary { channels: 2 });
    recipe.model.heads[2].tap = Some("block3".to_owned());
    recipe.model.heads[1].dropout = 0.3;
    recipe.model.join = Join::Width;
}

/// Returns none, and each part of a kind with settings that change a training of few steps.
fn none_and_every<T>(every: impl IntoIterator<Item = T>, strong: fn(T) -> T) -> Vec<Option<T>> {
    let all = every.into_iter().map(strong).map(Some);
    std::iter::once(None).chain(all).collect()
}

fn boosts() -> Vec<Option<Boost>> {
    none_and_every(Boost::every(), |boost| match boost {
        Boost::Average => Boost::Average,
        Boost::Additive(_) => Boost::Additive(Additive {
            shrinkage: 0.5,
            initial: -0.1,
            negatives: 2.0,
        }),
    })
}

fn cascades() -> Vec<Option<Cascade>> {
    let cascades = CascadeOf::ALL.map(|of| Cascade {
        shares: vec![1.0, 0.5, 0.25],
        of,
    });
    none_and_every(cascades, |cascade| cascade)
}

fn diversities() -> Vec<Option<Diversity>> {
    none_and_every(Diversity::every(), |diversity| match diversity {
        Diversity::Activation(_) => Diversity::Activation(Activation {
            weight: 0.1,
            norm: 1.0,
        }),
        Diversity::Adversarial(_) => Diversity::Adversarial(Adversarial {
            weight: 0.1,
            norm: 1.0,
            hidden: 4,
        }),
    })
}

fn all_links() -> Vec<Links> {
    let mut all = Vec::new();
    for boost in boosts() {
        for cascade in cascades() {
            for diversity in diversities() {
                all.push(Links {
                    boost: boost.clone(),
                    cascade: cascade.clone(),
                    diversity: diversity.clone(),
                    divide: None,
                });
            }
        }
    }
    all
}

/// Returns how many kinds of links these are.
fn kinds_in(links: &Links) -> usize {
    let kinds = [
        links.boost.is_some(),
        links.cascade.is_some(),
        links.diversity.is_some(),
    ];
    kinds.into_iter().filter(|is_there| *is_there).count()
}

/// Returns every loss by which heads can boost each other. Some pairs of an untrained network satisfy their margins.
fn linkable() -> Vec<Loss> {
    let every = Loss::every().into_iter();
    let with_margins = every.filter(|loss| loss.beyond_margin() != BeyondMargin::NoMargin);
    let near_their_margins = |loss| match loss {
        Loss::Contrastive(_) => Loss::Contrastive(Contrastive {
            pos_margin: 0.3,
            neg_margin: 0.5,
            power: 1.0,
        }),
        Loss::Triplet(triplet) => Loss::Triplet(Triplet {
            smooth: true,
            ..triplet
        }),
        other => other,
    };
    with_margins.map(near_their_margins).collect()
}

/// True if heads with this loss can have these links.
fn can_have(loss: &Loss, links: &Links) -> bool {
    let boosts = loss.beyond_margin() != BeyondMargin::NoMargin;
    (links.boost.is_none() || boosts) && (links.cascade.is_none() || loss.is_of_tuples())
}

#[test]
fn linked_heads_continue_without_a_trace() {
    let mut place = Place::new(stateful());
    for (n, links) in all_links().into_iter().enumerate().step_by(4) {
        place.recipe = changed(nth(n), |recipe, training| {
            three_heads(recipe);
            training.loss = linkable()[n % linkable().len()].clone();
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
        Loss::Sum(linkable().into_iter().map(WeightedLoss::of).collect()),
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
    for (n, loss) in linkable().into_iter().enumerate() {
        for (m, links) in all_links().into_iter().enumerate() {
            let changes = kinds_in(&links) == 1;
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

/// What can be chosen beside heads, each with and without every other. Divided heads cannot have the last.
const BESIDE_HEADS: [fn(&mut Recipe, &mut Training); 4] = [
    |_, training| training.memory = None,
    |_, training| training.chunk = Some(5),
    |recipe, _| recipe.model.precision = Precision::Bf16,
    |_, training| sampled_by_surveys(training, 1, None),
];

/// Returns a training of three steps with those choices of [`BESIDE_HEADS`] whose bit is set.
fn of_heads(links: &Links, join: &Join, chosen: usize) -> Recipe {
    changed(stateful(), |recipe, training| {
        three_heads(recipe);
        recipe.model.join = join.clone();
        (recipe.fold, training.validate_every) = (None, None);
        (training.loss, training.links) = (Binomial::default().into(), links.clone());
        training.steps = 3;
        if links.divide.is_some() {
            training.sampler = Sampler::Random(RandomSampler { batch: 6 });
            training.survey = Some(Survey {
                every: Span::Steps(1),
                per_class: None,
            });
        }
        for (bit, change) in BESIDE_HEADS.iter().enumerate() {
            if chosen & (1 << bit) != 0 {
                change(recipe, training);
            }
        }
    })
}

/// Returns no links, each single kind of them, and one of each kind together.
fn kinds_of_links() -> Vec<Links> {
    let all = all_links();
    let together = all.last().cloned();
    let mut kinds: Vec<Links> = all
        .into_iter()
        .filter(|links| kinds_in(links) < 2)
        .collect();
    kinds.extend(together);
    kinds.push(Links {
        divide: Some(Divide::default()),
        ..Links::default()
    });
    kinds
}

#[test]
fn heads_are_trained_with_every_combination_of_what_is_chosen_beside_them() {
    let mut place = Place::new(stateful());
    let joins = [Join::Equal, Join::Width, Join::Factors(vec![1.0, 5.0, 2.0])];
    for (n, links) in kinds_of_links().iter().enumerate() {
        let bits = BESIDE_HEADS.len() - usize::from(links.divide.is_some());
        // A loss undoes the factors of the blocks, so one way to join them is enough for each kind of links.
        let join = &joins[n % joins.len()];
        let mut models = std::collections::BTreeSet::new();
        for chosen in 0..1 << bits {
            let name = format!("{n} {chosen}");
            place.recipe = of_heads(links, join, chosen);
            let end = place.trained(&name);
            assert_eq!((end.end, end.steps), (TrainingEnd::Completed, 3), "{name}");
            models.insert(place.model(&name));
        }
        assert_eq!(models.len(), 1 << bits, "{links:?} {join:?}");
    }
}

#[test]
fn heads_are_trained_with_every_loss_and_all_links_that_it_can_have() {
    let mut place = Place::new(stateful());
    for loss in Loss::every() {
        for (n, links) in kinds_of_links().iter().enumerate() {
            if !can_have(&loss, links) {
                continue;
            }
            place.recipe = changed(of_heads(links, &Join::Equal, 0), |_, training| {
                training.loss = loss.clone();
                let with = Combination {
                    memory: training.memory.as_ref(),
                    ..Combination::default()
                };
                if loss.check_combination(with).is_err() {
                    training.memory = None;
                }
            });
            let name = format!("{} {n}", loss.key());
            let end = place.trained(&name);
            assert_eq!((end.end, end.steps), (TrainingEnd::Completed, 3), "{name}");
        }
    }
}

#[test]
fn linked_heads_on_an_adapted_transformer_continue_with_the_same_bits() {
    let both = boosts().into_iter().zip(diversities()).skip(1);
    for (boost, diversity) in both {
        let place = Place::new(changed(stateful(), |recipe, training| {
            recipe.images = squares(32);
            recipe.fold = None;
            recipe.model = Model::new(Backbone::Dinov3S16(Dinov3S16::default()), Some(8));
            recipe.model.heads = [2, 3, 3].map(EmbeddingHead::of_width).to_vec();
            recipe.model.precision = Precision::Bf16;
            recipe.model.lora = Some(schema::Lora::default());
            (training.steps, training.validate_every) = (3, None);
            training.chunk = Some(5);
            training.loss = Binomial::default().into();
            (training.links.boost, training.links.diversity) = (boost, diversity);
        }));
        continues_after(&place, 2, &place.trained("undisturbed"));
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
