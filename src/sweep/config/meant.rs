//! What an unknown name most likely means.
//!
//! The first of these that leads to a known name: the same letters, whatever the capitals and the
//! signs between words (`AdamW`, `adam_w`); the same first or last words (`batch_size`, `batch`;
//! `TripletMarginLoss`, `triplet`); nearly the same letters; nearly the same first words.

/// Returns the candidate that `found` most likely means.
pub(crate) fn nearest<'c>(
    found: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let same = candidates
        .iter()
        .find(|candidate| letters(candidate) == letters(found));
    same.copied()
        .or_else(|| of_same_words(found, &candidates))
        .or_else(|| misspelt(found, candidates.iter().copied()))
        .or_else(|| of_similar_words(found, &candidates))
}

/// Returns the candidate that `found` is a misspelling of.
pub(super) fn misspelt<'c>(
    found: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    // A longer name is no misspelling of any key, and the distance takes the product of both lengths.
    if found.len() > LONGEST {
        return None;
    }
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| (strsim::damerau_levenshtein(found, candidate), candidate))
        .filter(|(distance, candidate)| {
            let length = candidate.len().max(found.len());
            *distance <= (1 + length / 4).min(MOST_WRONG) && 2 * distance < length
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Maximum number of wrong letters in a misspelt name, however long: `efficientnet_b0` is another
/// network than `efficientnet_lite0`. Nor is a name with half of its letters wrong misspelt.
const MOST_WRONG: usize = 3;

/// Maximum length in bytes of a name that is compared by its letters.
const LONGEST: usize = 100;

/// True if two names have the same letters, whatever the capitals and the signs between words.
pub(super) fn is_same(left: &str, right: &str) -> bool {
    letters(left) == letters(right)
}

fn letters(name: &str) -> String {
    let letters = name.chars().filter(|letter| letter.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// Returns the candidate with the most letters whose words `found` begins or ends with.
fn of_same_words<'c>(found: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let found = words(found);
    let fits = |candidate: &&&str| {
        let candidate = words(candidate);
        !candidate.is_empty() && (found.starts_with(&candidate) || found.ends_with(&candidate))
    };
    let fitting = candidates.iter().filter(fits);
    fitting
        .max_by_key(|candidate| letters(candidate).len())
        .copied()
}

/// Returns the candidate whose words, misspelt, begin `found`: `embeding_size` is `embedding`.
fn of_similar_words<'c>(found: &str, candidates: &[&'c str]) -> Option<&'c str> {
    let found = words(found);
    let is_similar = |(found, known): (&String, &String)| {
        known.len() >= SURE && strsim::damerau_levenshtein(found, known) <= 1
    };
    let fits = |candidate: &&&str| {
        let candidate = words(candidate);
        let starts = candidate.len() <= found.len() && found.iter().zip(&candidate).all(is_similar);
        !candidate.is_empty() && starts
    };
    candidates.iter().find(fits).copied()
}

/// Letters of a word that is recognized even if one of them is wrong.
const SURE: usize = 6;

/// Returns the words of a name in small letters and in the singular: `NPairsLoss` has three.
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().take(LONGEST).collect();
    let mut words = vec![String::new()];
    for (at, letter) in letters.iter().enumerate() {
        let next_is_small = || letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        let last_is_small = at > 0 && letters[at - 1].is_lowercase();
        let begins = letter.is_uppercase() && (last_is_small || next_is_small());
        if begins || !letter.is_alphanumeric() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| letter.is_alphanumeric()) {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words.iter().map(|word| singular(word).to_owned()).collect()
}

fn singular(word: &str) -> &str {
    match word.strip_suffix('s') {
        Some(rest) if rest.len() >= 3 => rest,
        _ => word,
    }
}

/// Returns `` `a` or `b` ``.
pub(super) fn either(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(" or ")
}

#[cfg(test)]
mod tests {
    use schema::Loss;

    use super::*;

    fn loss(found: &str) -> Option<&'static str> {
        nearest(found, Loss::CARDS.iter().map(|card| card.name))
    }

    #[test]
    fn names_of_other_programs_lead_to_the_part() {
        for (found, meant) in [
            ("TripletMarginLoss", "triplet"),
            ("NTXentLoss", "nt_xent"),
            ("FastAPLoss", "fast_ap"),
            ("ProxyNCALoss", "proxy_nca"),
            ("NPairsLoss", "n_pair"),
            ("SubCenterArcFaceLoss", "sub_center_arc_face"),
            ("SphereFaceLoss", "sphere_face"),
            (
                "ThresholdConsistentMarginLoss",
                "threshold_consistent_margin",
            ),
            ("LiftedStructureLoss", "lifted"),
            ("GeneralizedLiftedStructureLoss", "generalized_lifted"),
            ("multi-similarity", "multi_similarity"),
            ("tripet", "triplet"),
        ] {
            assert_eq!(loss(found), Some(meant), "{found}");
        }
        assert_eq!(loss("CrossEntropyLoss"), None);
    }

    #[test]
    fn capitals_and_signs_count_less_than_letters() {
        assert_eq!(nearest("adamw", ["adam", "adam_w"]), Some("adam_w"));
        assert_eq!(nearest("AdamW", ["adam", "adam_w"]), Some("adam_w"));
        assert_eq!(nearest("batch_size", ["batch", "per_class"]), Some("batch"));
        assert_eq!(
            nearest("embeding_size", ["backbone", "embedding"]),
            Some("embedding")
        );
        assert_eq!(nearest("efficientnet_b0", ["efficientnet_lite0"]), None);
        assert_eq!(nearest(&"x".repeat(10_000_000), ["x"]), None);
    }
}
