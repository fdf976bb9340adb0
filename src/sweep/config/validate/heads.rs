//! Heads that make up no embedding, and links that heads cannot have.

use schema::{
    Auxiliary, BackbonePart, BeyondMargin, Boost, Cascade, Divide, EmbeddingHead, Head, Join, Loss,
    Model, Sampler,
};

use super::{
    super::file::{MethodTable, SweepFile},
    Checked, Fault, drop_rate, fault, images, in_range, losses, positive, require,
};

/// Checks the heads of a method: those of its own, or of the model that all share.
pub(super) fn of_method(
    method: &MethodTable,
    file: &SweepFile,
    key: &dyn Fn(&str) -> String,
) -> Checked {
    let model = method.model(&file.model);
    if method.heads.is_some() || method.join.is_some() {
        of_model(&model, file, key)?;
    }
    own_losses(method, &model, key)?;
    if method.links.are_none() {
        return Ok(());
    }
    require(
        !model.heads.is_empty(),
        &key("links"),
        "links are between several heads: write `heads = [{ width = .. }, { width = .. }]`",
    )?;
    in_range(method.links.check(), &key("links"))?;
    if let Some(boost) = &method.links.boost {
        boosted(boost, method, key)?;
    }
    if method.links.divide.is_some() {
        divided(method, &model, file, key)?;
    }
    match &method.links.cascade {
        Some(cascade) => cascaded(cascade, method, model.heads.len(), key),
        None => Ok(()),
    }
}

/// Checks the heads of a model; `key` returns the path of a key beside `heads`.
pub(super) fn of_model(model: &Model, file: &SweepFile, key: &dyn Fn(&str) -> String) -> Checked {
    if model.heads.is_empty() {
        return require(
            model.join == Join::Equal,
            &key("join"),
            "there is one head and nothing to join: write `heads`, or remove `join`",
        );
    }
    require(
        model.heads.len() > 1,
        &key("heads"),
        "a single head is what a network has without `heads`: write two or more, or remove the key",
    )?;
    for (place, head) in model.heads.iter().enumerate() {
        let key = |name: &str| key(&format!("heads.{place}.{name}"));
        require(
            head.width > 0,
            &key("width"),
            "a head has at least 1 dimension",
        )?;
        if let Some(head) = &head.layers {
            layers(head, &key("layers"))?;
        }
        drop_rate(head.dropout, &key("dropout"))?;
        if let Some(name) = &head.tap {
            tap(name, model, &key("tap"))?;
        }
        if let Some(layers) = &head.auxiliary {
            require(
                (1..=65_536).contains(&layers.channels),
                &key("auxiliary.channels"),
                "expected 1 to 65536",
            )?;
            windows(head, model, file, &key("auxiliary"))?;
        }
    }
    widths(model, key)?;
    require(
        model.normalize,
        &key("heads"),
        "the embeddings of heads are joined at length one: set `model.normalize = true`",
    )?;
    join(model, key)
}

fn widths(model: &Model, key: &dyn Fn(&str) -> String) -> Checked {
    let all: Vec<u64> = model.heads.iter().map(|head| head.width.into()).collect();
    let total: u64 = all.iter().sum();
    let written: Vec<String> = all.iter().map(u64::to_string).collect();
    let sum = written.join(" + ");
    match model.embedding.map(u64::from) {
        Some(width) if width == total => Ok(()),
        Some(width) => {
            let (by, word) = (
                width.abs_diff(total),
                if total < width { "few" } else { "many" },
            );
            let message = format!(
                "the heads have {sum} = {total} dimensions, {by} too {word} for the embedding of {width}"
            );
            Err(Fault {
                key: key("heads"),
                message,
                hint: Some(format!("or write `embedding = {total}` in [model]")),
            })
        }
        None => fault(
            key("heads"),
            format!(
                "heads need the width of the joined embedding: write `embedding = {total}` in [model]"
            ),
        ),
    }
}

fn tap(name: &str, model: &Model, key: &str) -> Checked {
    let part = model.backbone.part();
    if part.tap(name).is_some() {
        return Ok(());
    }
    let backbone = model.backbone.key();
    let hint = match taps(part) {
        known if known.is_empty() => "remove `tap`: every head then pools the last map".to_owned(),
        known => format!("heads can pool {known}"),
    };
    Err(Fault {
        key: key.to_owned(),
        message: format!("heads cannot pool a layer `{name}` of `{backbone}`"),
        hint: Some(hint),
    })
}

/// Returns the names of the layers whose maps heads can pool.
fn taps(part: &dyn BackbonePart) -> String {
    let names: Vec<&str> = part.taps().iter().map(|tap| tap.name).collect();
    names.join(", ")
}

/// Checks that the map of a head with auxiliary layers has windows, and the same number of them in all images.
fn windows(head: &EmbeddingHead, model: &Model, file: &SweepFile, key: &str) -> Checked {
    let part = model.backbone.part();
    let Some(tap) = head.tap.as_deref().and_then(|name| part.tap(name)) else {
        return Err(Fault {
            key: key.to_owned(),
            message: "auxiliary layers are on the map of a layer before the last one".to_owned(),
            hint: Some(match taps(part) {
                known if known.is_empty() => "remove `auxiliary`".to_owned(),
                known => format!("write its `tap`, one of {known}, or remove `auxiliary`"),
            }),
        });
    };
    let (name, window) = (tap.name, Auxiliary::WINDOW);
    let images = images::sides(file).map(|(_, image)| image);
    let sides = images.map(|image| part.side_at(tap, image));
    for (image, side) in images.into_iter().zip(sides) {
        if side < window {
            return Err(Fault {
                key: key.to_owned(),
                message: format!(
                    "auxiliary layers average windows of {window}x{window}, and the map of `{name}` is {side}x{side} with images \
                     of {image} pixels"
                ),
                hint: Some("choose an earlier layer, or larger images".to_owned()),
            });
        }
    }
    let [test, train] = sides.map(Auxiliary::windows);
    let [tested, trained] = images;
    require(
        test == train,
        key,
        format!(
            "auxiliary layers need as many windows in training as in measuring: the map of `{name}` has {train}x{train} with \
             images of {trained} pixels and {test}x{test} with {tested}"
        ),
    )
}

fn join(model: &Model, key: &dyn Fn(&str) -> String) -> Checked {
    let Join::Factors(factors) = &model.join else {
        return Ok(());
    };
    let heads = model.heads.len();
    require(
        factors.len() == heads,
        &key("join.factors"),
        format!("{} factors for {heads} heads", factors.len()),
    )?;
    factors
        .iter()
        .try_for_each(|&factor| positive(factor, &key("join.factors")))
}

/// Checks the losses of heads that have their own.
fn own_losses(method: &MethodTable, model: &Model, key: &dyn Fn(&str) -> String) -> Checked {
    let heads = method.heads.iter().flatten();
    for (place, head) in heads.clone().enumerate() {
        let key = |name: &str| key(&format!("heads.{place}.{name}"));
        positive(head.weight, &key("weight"))?;
        if let Some(own) = head.own_loss() {
            losses::weighted(&own, method.memory.as_ref(), model, &key)?;
            continue;
        }
        let chosen = [
            ("distance", head.distance.is_some()),
            ("reduction", head.reduction.is_some()),
            ("regularizer", head.regularizer.is_some()),
            ("miner", head.miner.is_some()),
        ];
        if let Some((name, _)) = chosen.into_iter().find(|(_, is_chosen)| *is_chosen) {
            let message =
                format!("`{name}` belongs to a loss of the head's own: write its `loss`, too");
            return fault(key(name), message);
        }
    }
    let mut losses = heads.map(|head| &head.loss).peekable();
    require(
        losses.peek().is_none() || losses.any(Option::is_none),
        &key("loss"),
        "every head has its own loss, so this one is not used: remove that of one head",
    )
}

/// Heads that boost each other have one loss, whose terms have margins and a slope where the boosting begins.
fn boosted(boost: &Boost, method: &MethodTable, key: &dyn Fn(&str) -> String) -> Checked {
    let key = key(&format!("links.boost.{}", boost.key()));
    let Some(loss) = &method.loss else {
        return Ok(());
    };
    let name = loss.key();
    let initial = match boost {
        Boost::Additive(additive) => additive.initial,
        Boost::Average => 0.0,
    };
    match loss.beyond_margin() {
        BeyondMargin::NoMargin => fault(
            &key,
            format!(
                "the terms of `{name}` have no margin by which heads could boost each other: choose one of {}",
                boostable()
            ),
        )?,
        BeyondMargin::Zero => require(
            initial <= 0.0,
            &key,
            format!(
                "the terms of `{name}` are 0 beyond the margin, where a sum from {initial} on begins, so that later heads \
                 would learn nothing: write `initial = 0.0`, or `boost = \"average\"`"
            ),
        )?,
        BeyondMargin::Small => {}
    }
    require(
        method.losses().count() == 1,
        &key,
        "heads that boost each other have one loss: remove those of the heads",
    )
}

/// Returns the losses by which heads can boost each other.
fn boostable() -> String {
    let all = Loss::every().into_iter();
    let able = all.filter(|loss| loss.beyond_margin() != BeyondMargin::NoMargin);
    let names: Vec<String> = able.map(|loss| format!("`{}`", loss.key())).collect();
    names.join(", ")
}

/// Heads with images of their own see no other head's, so they depend on no other head.
fn divided(
    method: &MethodTable,
    model: &Model,
    file: &SweepFile,
    key: &dyn Fn(&str) -> String,
) -> Checked {
    let most = Divide::MOST_HEADS;
    require(
        model.heads.len() <= most,
        &key("links.divide"),
        format!("images are divided among at most {most} heads"),
    )?;
    require(
        method.links.boost.is_none() && method.links.cascade.is_none(),
        &key("links.divide"),
        "a batch is of one head's images, so no other head sees it: remove `boost` and `cascade`",
    )?;
    let sampler = method.sampler_in(&file.training);
    require(
        !matches!(
            sampler,
            Sampler::Hierarchical(_) | Sampler::AnchorNeighbor(_) | Sampler::NearestImages(_)
        ),
        &key("links.divide"),
        format!(
            "`{}` chooses among all images: choose another sampler",
            sampler.key()
        ),
    )
}

/// Heads in a cascade have losses of pairs or triplets, which nothing else chooses.
fn cascaded(
    cascade: &Cascade,
    method: &MethodTable,
    heads: usize,
    key: &dyn Fn(&str) -> String,
) -> Checked {
    let shares = cascade.shares.len();
    require(
        shares == heads,
        &key("links.cascade.shares"),
        format!("{shares} shares for {heads} heads"),
    )?;
    if let Some(loss) = method.losses().find(|loss| !loss.is_of_tuples()) {
        let message = format!(
            "a cascade chooses pairs, and `{}` is no loss of pairs or triplets",
            loss.key()
        );
        return fault(key("links.cascade"), message);
    }
    let mined = method
        .heads
        .iter()
        .flatten()
        .any(|head| head.miner.is_some());
    require(
        method.miner.is_none() && !mined,
        &key("links.cascade"),
        "a cascade chooses the pairs: remove `miner`",
    )
}

/// Checks the layers of a head at a key.
pub(super) fn layers(head: &Head, key: &str) -> Checked {
    match head {
        Head::Mlp(mlp) => {
            let widths = !mlp.hidden.is_empty()
                && mlp.hidden.iter().all(|width| (1..=65_536).contains(width));
            require(
                widths,
                &format!("{key}.mlp.hidden"),
                "expected at least one width, each from 1 to 65536",
            )
        }
        Head::Linear(_) => Ok(()),
    }
}
