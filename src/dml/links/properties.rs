//! What holds for links whatever the loss.

use schema::{Additive, Binomial, Boost, Cascade, CascadeOf, Contrastive, Triplet};
use tch::{Device, Kind, Tensor};

use super::Links;
use crate::{
    blocks::Block,
    distance::normalize,
    loss::Loss,
    objective::{ConfiguredLoss, Objective},
    testing::{assert_close, gradient, noise},
};

const WIDTH: i64 = 4;

/// Two heads of the same width.
fn blocks() -> [Block; 2] {
    [0, 1].map(|head| Block {
        head,
        start: WIDTH * head as i64,
        width: WIDTH,
        factor: std::f64::consts::FRAC_1_SQRT_2,
    })
}

fn boostable() -> [fn() -> Box<dyn Loss>; 3] {
    [
        || Box::new(Binomial::default()),
        || Box::new(Contrastive::default()),
        || Box::new(Triplet::default()),
    ]
}

fn embeddings() -> Tensor {
    let halves = [noise(1, 12, WIDTH), noise(2, 12, WIDTH)].map(|half| normalize(&half));
    Tensor::cat(&halves, 1) * std::f64::consts::FRAC_1_SQRT_2
}

fn labels() -> Tensor {
    Tensor::from_slice(&[0i64, 0, 1, 1, 2, 2, 3, 3, 0, 1, 2, 3])
}

/// The loss of some of the blocks, and its gradient.
fn cost(
    loss: fn() -> Box<dyn Loss>,
    of: &[Block],
    links: Links,
    embeddings: &Tensor,
) -> (Tensor, Tensor) {
    let embeddings = embeddings.detach().set_requires_grad(true);
    let losses = of.iter().map(|block| ConfiguredLoss {
        block: Some(*block),
        ..ConfiguredLoss::of(loss())
    });
    let mut objective = Objective {
        links,
        ..Objective::sum(losses.collect())
    };
    let value = objective.step(&embeddings, &labels(), 0).value;
    let gradient = gradient(&value, &embeddings);
    (value.detach(), gradient)
}

fn boosted(boost: Boost) -> Links {
    Links {
        boost: Some(boost),
        ..Links::default()
    }
}

fn half(gradient: &Tensor, head: i64) -> Tensor {
    gradient.narrow(1, WIDTH * head, WIDTH)
}

#[test]
fn without_links_heads_cost_the_sum_of_what_each_costs_alone() {
    for loss in boostable() {
        let alone = blocks().map(|block| cost(loss, &[block], Links::default(), &embeddings()).0);
        let (both, _) = cost(loss, &blocks(), Links::default(), &embeddings());
        assert_close(&both, &(&alone[0] + &alone[1]), 1e-14, "sum");
    }
}

#[test]
fn boosting_changes_the_later_head_and_not_the_first() {
    for (loss, boost) in boostable()
        .into_iter()
        .flat_map(|loss| [Boost::Average, Boost::from(Additive::default())].map(|b| (loss, b)))
    {
        let (_, plain) = cost(loss, &blocks(), Links::default(), &embeddings());
        let (_, found) = cost(loss, &blocks(), boosted(boost), &embeddings());
        assert_close(&half(&found, 0), &half(&plain, 0), 1e-14, "the first head");
        assert!(half(&found, 1) != half(&plain, 1));
    }
}

#[test]
fn a_head_learns_nothing_of_what_the_first_got_right() {
    // The first head separates the classes, so no term of a hinge is left.
    let labels = labels();
    let apart = labels.one_hot(WIDTH).to_kind(Kind::Double);
    let second = normalize(&noise(2, 12, WIDTH));
    let embeddings = Tensor::cat(&[apart, second], 1) * std::f64::consts::FRAC_1_SQRT_2;
    for loss in &boostable()[1..] {
        let (_, found) = cost(*loss, &blocks(), boosted(Boost::Average), &embeddings);
        assert_eq!(half(&found, 1).abs().max().double_value(&[]), 0.0);
    }
}

#[test]
fn a_hinge_that_no_head_satisfies_is_not_weighed() {
    let never: fn() -> Box<dyn Loss> = || -> Box<dyn Loss> {
        Box::new(Contrastive {
            pos_margin: -1.0,
            neg_margin: 9.0,
            power: 1.0,
        })
    };
    let (_, plain) = cost(never, &blocks(), Links::default(), &embeddings());
    let (_, found) = cost(never, &blocks(), boosted(Boost::Average), &embeddings());
    assert_close(&half(&found, 1), &half(&plain, 1), 1e-14, "the later head");
}

#[test]
fn a_cascade_of_everything_is_none() {
    let everything = |of| Links {
        cascade: Some(Cascade {
            shares: vec![1.0, 1.0],
            of,
        }),
        ..Links::default()
    };
    for loss in &boostable()[..2] {
        let (plain, _) = cost(*loss, &blocks(), Links::default(), &embeddings());
        for of in [CascadeOf::Previous, CascadeOf::All] {
            let (found, _) = cost(*loss, &blocks(), everything(of), &embeddings());
            assert_close(&found, &plain, 1e-14, "value");
        }
    }
}

#[test]
fn a_head_of_a_cascade_sees_no_pair_that_the_one_before_did_not_choose() {
    let share = 0.25;
    let chosen = |of| {
        let links = Links {
            cascade: Some(Cascade {
                shares: vec![share, share],
                of,
            }),
            ..Links::default()
        };
        cost(boostable()[0], &blocks(), links, &embeddings()).1
    };
    let (previous, all) = (chosen(CascadeOf::Previous), chosen(CascadeOf::All));
    assert_eq!(half(&previous, 0), half(&all, 0));
    // With equal shares the second head has exactly the pairs of the first, which are not its own hardest.
    assert!(half(&previous, 1) != half(&all, 1));
}

#[test]
fn links_of_a_batch_without_pairs_change_nothing() {
    let one = Tensor::zeros([1, 2 * WIDTH], (Kind::Double, Device::Cpu)).set_requires_grad(true);
    let losses = blocks().map(|block| ConfiguredLoss {
        block: Some(block),
        ..ConfiguredLoss::of(Box::new(Binomial::default()))
    });
    let mut objective = Objective {
        links: Links {
            boost: Some(Boost::Average),
            cascade: Some(Cascade {
                shares: vec![1.0, 0.5],
                of: CascadeOf::Previous,
            }),
            diversity: None,
        },
        ..Objective::sum(losses.into())
    };
    let value = objective.step(&one, &Tensor::from_slice(&[0i64]), 0);
    assert!(value.is_empty());
    assert_eq!(
        gradient(&value.value, &one).abs().max().double_value(&[]),
        0.0
    );
}
