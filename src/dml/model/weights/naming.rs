//! How programs name the tensors of one network.
//!
//! Networks have the names of timm or torchvision here. Other programs name the same tensors differently, store the
//! projections of queries, keys and values apart, or keep the position of the class token with those of the patches.
//!
//! A [`Naming`] tells from which tensors of a file each tensor of a network is made. It is found by trying: the naming
//! is the one in which a file has most tensors of the network.

use std::ops::Range;

use tch::{Kind, Tensor};

/// The names of one program for the tensors of a network.
#[derive(Debug)]
pub(in crate::model) struct Naming {
    /// Whole names of the network, and what their tensors are made of.
    pub(in crate::model) whole: &'static [(&'static str, Made)],
    /// Beginnings of the other names of the network, and those of the program.
    pub(in crate::model) starts: &'static [(&'static str, &'static str)],
    /// Parts of what follows in the names of the network, and what they are in the program's.
    pub(in crate::model) parts: &'static [(&'static str, Made)],
    /// Beginnings of the names of tensors that the program has beside those of the network.
    pub(in crate::model) beside: &'static [&'static str],
    /// Ends of the names of tensors that the network does without.
    pub(in crate::model) unneeded: &'static [(&'static str, Unneeded)],
}

/// What a tensor of a network is made of. Texts replace the name of the network, or a part of it.
#[derive(Debug)]
pub(in crate::model) enum Made {
    /// One tensor.
    Of(&'static str),
    /// The rows of several tensors, one after the other.
    Joined(&'static [&'static str]),
    /// Some thirds of the rows of a tensor.
    Thirds(&'static str, Range<i64>),
    /// A token, and the first of these positions, which is added to it.
    TokenAt(&'static str, &'static str),
    /// All positions but the first.
    WithoutFirst(&'static str),
}

/// When a network does without a tensor.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) enum Unneeded {
    /// Always: the program computes it.
    Always,
    /// If it is zero.
    IfZero,
    /// If its first and its last third are zero: the biases of queries and values. The program masks the one of keys.
    IfZeroButForKeys,
}

/// The tensors of a file that a tensor of a network is made of.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) names: Vec<String>,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    Joined,
    Thirds(Range<i64>),
    TokenAt,
    WithoutFirst,
}

impl Naming {
    /// The names of the network itself.
    pub(in crate::model) const OWN: Naming = Naming {
        whole: &[],
        starts: &[],
        parts: &[],
        beside: &[],
        unneeded: &[],
    };

    /// Returns what a tensor with this name in the network is made of.
    pub(super) fn origin(&self, name: &str) -> Origin {
        if let Some((_, made)) = self.whole.iter().find(|(ours, _)| *ours == name) {
            return made.between("", "");
        }
        let (start, rest) = self.start(name);
        let mut parts = self.parts.iter();
        match parts.find_map(|(ours, made)| Some((rest.split_once(ours)?, made))) {
            Some(((before, after), made)) => made.between(&format!("{start}{before}"), after),
            None => Made::Of("").between(start, rest),
        }
    }

    /// Returns the beginning that the program has for a name, and the rest of the name.
    fn start<'a>(&self, name: &'a str) -> (&'static str, &'a str) {
        let mut starts = self.starts.iter();
        let found = starts.find_map(|(ours, theirs)| Some((*theirs, name.strip_prefix(ours)?)));
        found.unwrap_or(("", name))
    }

    /// True if a tensor of this name is known to stand beside those of the network.
    pub(super) fn is_beside(&self, name: &str) -> bool {
        self.beside.iter().any(|start| name.starts_with(start))
    }

    /// Returns when the network does without a tensor of this name, if it ever does.
    pub(super) fn unneeded(&self, name: &str) -> Option<Unneeded> {
        let mut unneeded = self.unneeded.iter();
        unneeded.find_map(|(end, when)| name.ends_with(end).then_some(*when))
    }
}

impl Made {
    fn between(&self, before: &str, after: &str) -> Origin {
        let name = |part: &&str| format!("{before}{part}{after}");
        let (names, how) = match self {
            Made::Of(part) => (vec![name(part)], How::Joined),
            Made::Joined(parts) => (parts.iter().map(name).collect(), How::Joined),
            Made::Thirds(part, thirds) => (vec![name(part)], How::Thirds(thirds.clone())),
            Made::TokenAt(token, positions) => (vec![name(token), name(positions)], How::TokenAt),
            Made::WithoutFirst(part) => (vec![name(part)], How::WithoutFirst),
        };
        Origin { names, how }
    }
}

impl Origin {
    /// Returns the shape of what is made of tensors with these shapes. Nothing: it cannot be made.
    pub(super) fn shape(&self, shapes: &[&[i64]]) -> Option<Vec<i64>> {
        let (first, others) = shapes.split_first()?;
        let mut shape = first.to_vec();
        match &self.how {
            How::Joined if others.is_empty() => {}
            How::Joined => {
                let (_, row) = first.split_first()?;
                let rows = shapes.iter().map(|of| match of.split_first()? {
                    (rows, of_row) if of_row == row => Some(*rows),
                    _ => None,
                });
                shape[0] = rows.sum::<Option<i64>>()?;
            }
            How::Thirds(thirds) => {
                let rows = shape.first_mut().filter(|rows| **rows % 3 == 0)?;
                *rows = *rows / 3 * (thirds.end - thirds.start);
            }
            How::TokenAt => {
                let [outer @ .., count, width] = others.first()? else {
                    return None;
                };
                let is_one_list = *count > 0 && outer.iter().all(|size| *size == 1);
                let is_one_token = first.iter().product::<i64>() == *width;
                (is_one_list && is_one_token).then_some(())?;
            }
            How::WithoutFirst => {
                let [.., count, _] = &mut shape[..] else {
                    return None;
                };
                *count = (*count > 1).then_some(*count - 1)?;
            }
        }
        Some(shape)
    }

    /// Makes the tensor of tensors whose [`shape`](Self::shape) exists.
    pub(super) fn made(&self, tensors: &[Tensor]) -> Tensor {
        match (&self.how, tensors) {
            (How::Joined, [one]) => one.shallow_clone(),
            (How::Joined, several) => Tensor::cat(several, 0),
            (How::Thirds(thirds), tensors) => {
                let third = tensors[0].size()[0] / 3;
                let rows = third * (thirds.end - thirds.start);
                tensors[0].narrow(0, third * thirds.start, rows)
            }
            (How::TokenAt, tensors) => {
                let [token, positions] = [0, 1].map(|of| tensors[of].to_kind(Kind::Float));
                let position = positions.narrow(-2, 0, 1);
                &token + position.reshape(token.size())
            }
            (How::WithoutFirst, tensors) => {
                let size = tensors[0].size();
                tensors[0].narrow(-2, 1, size[size.len() - 2] - 1)
            }
        }
    }
}

impl Unneeded {
    /// True if the network does without this tensor.
    pub(super) fn holds(self, tensor: &Tensor) -> bool {
        let is_zero = |part: &Tensor| part.ne(0.0).any().int64_value(&[]) == 0;
        match (self, tensor.size().first()) {
            (Unneeded::Always, _) => true,
            (Unneeded::IfZeroButForKeys, Some(rows)) if rows % 3 == 0 => {
                let third = |number: i64| tensor.narrow(0, number * rows / 3, rows / 3);
                is_zero(&third(0)) && is_zero(&third(2))
            }
            (Unneeded::IfZeroButForKeys | Unneeded::IfZero, _) => is_zero(tensor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMING: Naming = Naming {
        whole: &[
            ("cls_token", Made::TokenAt("class", "positions")),
            ("pos_embed", Made::WithoutFirst("positions")),
        ],
        starts: &[("blocks.", "layer.")],
        parts: &[
            (".qkv.", Made::Joined(&[".query.", ".key.", ".value."])),
            (".kv.", Made::Thirds(".in_proj_", 1..3)),
        ],
        ..Naming::OWN
    };

    fn numbers(shape: &[i64]) -> Tensor {
        let count = shape.iter().product::<i64>();
        Tensor::arange(count, (Kind::Float, tch::Device::Cpu)).view(shape)
    }

    /// Returns the tensor that a name of the network stands for, from tensors of these shapes.
    fn made(name: &str, shapes: &[&[i64]]) -> Option<Tensor> {
        let origin = NAMING.origin(name);
        let shape = origin.shape(shapes)?;
        let tensors: Vec<Tensor> = shapes.iter().map(|shape| numbers(shape)).collect();
        let made = origin.made(&tensors);
        assert_eq!(made.size(), shape);
        Some(made)
    }

    #[test]
    fn each_name_has_the_names_that_its_tensor_is_made_of() {
        for (ours, theirs) in [
            ("norm.bias", &["norm.bias"][..]),
            ("blocks.11.norm1.bias", &["layer.11.norm1.bias"]),
            (
                "blocks.2.qkv.bias",
                &[
                    "layer.2.query.bias",
                    "layer.2.key.bias",
                    "layer.2.value.bias",
                ],
            ),
            ("pool.kv.weight", &["pool.in_proj_weight"]),
            ("cls_token", &["class", "positions"]),
        ] {
            assert_eq!(NAMING.origin(ours).names, theirs);
        }
    }

    #[test]
    fn rows_are_joined_and_divided_and_the_first_position_goes_to_the_token() {
        let joined = made("a.qkv.bias", &[&[2, 3], &[2, 3], &[1, 3]]).unwrap();
        assert_eq!(joined.narrow(0, 4, 1), numbers(&[1, 3]));
        let rest = made("a.kv.weight", &[&[6, 2]]).unwrap();
        assert_eq!(rest, numbers(&[6, 2]).narrow(0, 2, 4));
        let token = made("cls_token", &[&[1, 1, 2], &[1, 5, 2]]).unwrap();
        assert_eq!(token, numbers(&[1, 1, 2]) * 2);
        let positions = made("pos_embed", &[&[1, 5, 2]]).unwrap();
        assert_eq!(positions, numbers(&[1, 5, 2]).narrow(1, 1, 4));
    }

    #[test]
    fn shapes_that_do_not_go_together_make_nothing() {
        assert!(made("a.qkv.bias", &[&[2, 3], &[2, 4], &[2, 3]]).is_none());
        assert!(made("a.qkv.bias", &[&[], &[], &[]]).is_none());
        assert!(made("a.kv.weight", &[&[4, 2]]).is_none());
        assert!(made("a.kv.weight", &[&[]]).is_none());
        assert!(made("cls_token", &[&[1, 1, 2], &[1, 5, 3]]).is_none());
        assert!(made("cls_token", &[&[1, 1, 2], &[0, 2]]).is_none());
        assert!(made("cls_token", &[&[1, 1, 2], &[3, 5, 2]]).is_none());
        assert!(made("pos_embed", &[&[1, 1, 2]]).is_none());
        assert!(made("pos_embed", &[&[5]]).is_none());
    }

    #[test]
    fn a_bias_that_a_network_does_without_is_zero_but_for_that_of_the_keys() {
        let of = |numbers: &[f32]| Tensor::from_slice(numbers);
        assert!(Unneeded::IfZero.holds(&of(&[0.0, 0.0])));
        assert!(!Unneeded::IfZero.holds(&of(&[0.0, f32::NAN])));
        assert!(Unneeded::IfZeroButForKeys.holds(&of(&[0.0, 5.0, 0.0])));
        assert!(!Unneeded::IfZeroButForKeys.holds(&of(&[0.0, 0.0, 1.0])));
        assert!(!Unneeded::IfZeroButForKeys.holds(&of(&[0.0, 1.0])));
        assert!(Unneeded::Always.holds(&of(&[1.0])));
    }
}
