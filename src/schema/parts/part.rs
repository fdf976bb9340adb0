//! What every part has, and the two macros that declare parts.
//!
//! `part!` declares the settings of one part: a struct whose fields all have a default and perhaps
//! a range, with a formula and a source. `parts!` declares one kind of parts: an enum of them, its
//! list of cards, and a macro that calls another macro with the names of all variants, with which
//! the crate `dml` connects each part to its implementation.

use std::fmt;

use super::range::{Range, Setting};

/// Facts about a part, and the check of its settings.
pub trait Part {
    /// What the part computes. d is a distance, s a similarity, a an anchor, p a positive and n a
    /// negative.
    const FORMULA: &'static str;

    /// Where the part comes from. Empty: it is common knowledge.
    const SOURCE: &'static str = "";

    /// The bounds within which the Reality Check (Musgrave et al., ECCV 2020) searched the
    /// settings. Empty: the part is not among its methods.
    const PUBLISHED_SEARCH: &'static str = "";

    /// What other programs call the part, where its key does not say so: the key of the triplet loss
    /// is a part of `TripletMarginLoss`, so this needs no mention.
    const ALSO: &'static [&'static str] = &[];

    /// Checks that every setting is in its range, and that the settings agree with each other.
    ///
    /// # Errors
    /// Returns the first setting that is not.
    fn check(&self) -> Result<(), OutOfRange> {
        Ok(())
    }
}

/// A setting whose value is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// The key of the setting within its part, such as `margin`.
    pub setting: String,
    /// What is expected.
    pub reason: String,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.setting, self.reason)
    }
}

impl std::error::Error for OutOfRange {}

impl OutOfRange {
    pub(crate) fn new(setting: &str, reason: impl Into<String>) -> OutOfRange {
        OutOfRange {
            setting: setting.to_owned(),
            reason: reason.into(),
        }
    }
}

/// Refuses a setting, unless a condition holds.
pub(crate) fn require(
    holds: bool,
    setting: &str,
    reason: impl Into<String>,
) -> Result<(), OutOfRange> {
    match holds {
        true => Ok(()),
        false => Err(OutOfRange::new(setting, reason)),
    }
}

/// Checks one setting against its ranges.
pub(crate) fn check_setting(
    key: &str,
    value: &impl Setting,
    ranges: &[Range],
) -> Result<(), OutOfRange> {
    value
        .check(ranges)
        .map_err(|reason| OutOfRange::new(key, reason))
}

/// Facts about a part, as `sweep show` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Card {
    /// The key of the part in a sweep file.
    pub name: &'static str,
    /// See [`Part::FORMULA`].
    pub formula: &'static str,
    /// See [`Part::SOURCE`].
    pub source: &'static str,
    /// See [`Part::PUBLISHED_SEARCH`].
    pub published_search: &'static str,
}

impl Card {
    /// Returns the card of a part with this key.
    pub(crate) const fn of<P: Part>(name: &'static str) -> Card {
        Card {
            name,
            formula: P::FORMULA,
            source: P::SOURCE,
            published_search: P::PUBLISHED_SEARCH,
        }
    }

    /// Returns a card without a source.
    pub(crate) const fn new(name: &'static str, formula: &'static str) -> Card {
        Card {
            name,
            formula,
            source: "",
            published_search: "",
        }
    }

    /// Returns this card with a source.
    pub(crate) const fn from(self, source: &'static str) -> Card {
        Card { source, ..self }
    }
}

/// Declares the settings of one part:
///
/// ```text
/// part! {
///     /// NT-Xent (Sohn, 2016; Chen et al., 2020).
///     pub struct NtXent {
///         /// Divides the similarities.
///         temperature: f64 = 0.07 => above(0.0),
///     }
///     formula: "mean over positive pairs of -log( .. )",
///     source: "Sohn, NIPS 2016",
///     published_search: "temperature log [1e-5, 100]",
///     also: ["InfoNCE"],
///     check: settings_agree,
/// }
/// ```
///
/// A default is any expression; the JSON Schema has it even for a field that is not written at its
/// default. A range is a [`Range`]. The last four lines may be absent.
/// `check` is a function from `&NtXent` to `Result<(), OutOfRange>`, called after the ranges.
/// Keys that are not fields are refused.
macro_rules! part {
    (
        $(#[$doc:meta])*
        pub struct $name:ident {
            $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr $(=> $range:expr)?),*
            $(,)?
        }
        formula: $formula:literal
        $(, source: $source:literal)?
        $(, published_search: $search:literal)?
        $(, also: $also:expr)?
        $(, check: $check:path)?
        $(,)?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name { $(
            $(#[$field_doc])*
            $(#[schemars(transform = $range)])?
            #[schemars(extend("default" = $name::default().$field))]
            pub $field: $type
        ),* }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default),* }
            }
        }

        impl $crate::Part for $name {
            const FORMULA: &'static str = $formula;
            const SOURCE: &'static str = concat!($($source)?);
            const PUBLISHED_SEARCH: &'static str = concat!($($search)?);
            $(const ALSO: &'static [&'static str] = &$also;)?

            fn check(&self) -> Result<(), $crate::OutOfRange> {
                $($crate::parts::part::check_setting(
                    stringify!($field),
                    &self.$field,
                    &[$($range)?],
                )?;)*
                $($check(self)?;)?
                Ok(())
            }
        }
    };
}

/// Declares one kind of parts, from a list of variants with the module and the struct of each:
///
/// ```text
/// parts! {
///     ($)
///     /// A loss with its settings.
///     pub enum Loss, for_each_loss {
///         NtXent(nt_xent::NtXent),
///     }
///     and {
///         /// A weighted sum of other losses.
///         sum: Sum(Vec<WeightedLoss>),
///     }
///     without_settings {
///         constant::Constant,
///     }
/// }
/// ```
///
/// The key of a part in a sweep file is the name of its module. Variants after `and` are no parts:
/// they are not listed. A part `without_settings` is written as its key alone, and the name of its
/// struct is that of its variant. `($)` is needed to write a macro that writes a macro.
macro_rules! parts {
    (
        ($dollar:tt)
        $(#[$doc:meta])*
        pub enum $name:ident, $for_each:ident {
            $($(#[$attribute:meta])* $variant:ident($module:ident::$type:ident)),*
            $(,)?
        }
        $(and {
            $($(#[$other_doc:meta])* $other_key:ident: $other:ident($other_type:ty)),*
            $(,)?
        })?
        $(without_settings {
            $($unit_module:ident::$unit:ident),*
            $(,)?
        })?
    ) => {
        $(pub use $module::$type;)*
        $($(pub use $unit_module::$unit;)*)?

        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(
                #[doc = concat!("See [`", stringify!($unit), "`](struct@", stringify!($unit), ").")]
                $unit,
            )*)?
            $(
                #[doc = concat!("See [`", stringify!($type), "`].")]
                #[schemars(extend("x-also" = <$type as $crate::Part>::ALSO))]
                $(#[$attribute])*
                $variant($type),
            )*
            $($($(#[$other_doc])* $other($other_type),)*)?
        }

        impl $name {
            /// The card of every part of this kind, in the order of `every`.
            pub const CARDS: &'static [$crate::Card] =
                &[
                    $($($crate::Card::of::<$unit_module::$unit>(stringify!($unit_module)),)*)?
                    $($crate::Card::of::<$type>(stringify!($module)),)*
                ];

            /// Returns every part of this kind with its default settings. Those that a sweep file must
            /// give have the values of an example.
            pub fn every() -> Vec<$name> {
                vec![
                    $($($name::$unit,)*)?
                    $($name::$variant($type::default()),)*
                ]
            }

            /// Returns the key of this part in a sweep file.
            pub fn key(&self) -> &'static str {
                match self {
                    $($($name::$unit => stringify!($unit_module),)*)?
                    $($name::$variant(_) => stringify!($module),)*
                    $($($name::$other(_) => stringify!($other_key),)*)?
                }
            }

            /// Checks the settings of this part; see [`Part::check`](crate::Part::check).
            ///
            /// # Errors
            /// Returns the first setting that is not allowed.
            pub fn check(&self) -> Result<(), $crate::OutOfRange> {
                match self {
                    $($($name::$unit => Ok(()),)*)?
                    $($name::$variant(part) => $crate::Part::check(part),)*
                    $($($name::$other(_) => Ok(()),)*)?
                }
            }
        }

        $(
            impl From<$type> for $name {
                fn from(part: $type) -> $name {
                    $name::$variant(part)
                }
            }
        )*

        /// Calls a macro with the names of all parts of one kind: `callback! { First, Second, .. }`;
        /// those without settings, if there are any, come first: `callback! { Unit, .. ; First, .. }`.
        #[macro_export]
        macro_rules! $for_each {
            ($dollar callback:ident) => {
                $dollar callback! { $($($unit),* ;)? $($variant),* }
            };
        }

        #[cfg(test)]
        #[test]
        fn every_part_is_found_by_its_key_and_its_defaults_are_in_range() {
            for part in $name::every() {
                let written = serde_json::to_value(&part).unwrap();
                assert_eq!(serde_json::from_value::<$name>(written.clone()).unwrap(), part);
                assert_eq!(part.check(), Ok(()));
                if written.is_string() {
                    continue;
                }
                let bare = format!("{{\"{}\": {{}}}}", part.key());
                match serde_json::from_str::<$name>(&bare) {
                    Ok(read) => assert_eq!(read, part),
                    Err(error) => assert!(error.to_string().contains("missing field"), "{error}"),
                }
            }
        }
    };
}

pub(crate) use {part, parts};
