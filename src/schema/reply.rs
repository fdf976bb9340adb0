//! The results of work: one struct for each kind of reply, and [`Finished`], the enum of all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Backbone, Breakdown, Evaluated, Half, ObjectiveSample, Scores};

/// The result of any kind of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finished {
    /// A data set is added.
    Imported(Imported),
    /// Every image of a data set was decoded.
    Inspected(Box<Inspected>),
    /// A sheet of images is written.
    Sheet(SheetDrawn),
    /// The weights fit the backbone.
    Fitted(Fitted),
    /// A data set is prepared.
    Prepared(Prepared),
    /// A training ended.
    Trained(Trained),
    /// The test classes are measured.
    Evaluated(Evaluated),
    /// Embeddings from files are measured.
    Measured(Measured),
    /// A picture of nearest neighbors is written.
    Drawn(Drawn),
    /// The first training step was computed several times.
    Probed(Probed),
    /// Results were recomputed.
    Verified(Verified),
    /// A network is written.
    Exported(Exported),
    /// Photos are embedded.
    Embedded(Embedded),
    /// A loss or a miner of the user was checked.
    ScriptChecked(ScriptChecked),
    /// Objectives were computed on fixed batches.
    Compared(Compared),
}

/// A trainer replied with the result of another kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongReply;

/// Declares the variant of each reply.
macro_rules! replies {
    ($($variant:ident($reply:ty);)*) => {$(
        impl From<$reply> for Finished {
            fn from(reply: $reply) -> Finished {
                Finished::$variant(reply)
            }
        }

        impl TryFrom<Finished> for $reply {
            type Error = WrongReply;

            fn try_from(finished: Finished) -> Result<$reply, WrongReply> {
                if let Finished::$variant(reply) = finished {
                    Ok(reply)
                } else {
                    Err(WrongReply)
                }
            }
        }
    )*};
}

replies! {
    Imported(Imported);
    Sheet(SheetDrawn);
    Fitted(Fitted);
    Prepared(Prepared);
    Trained(Trained);
    Evaluated(Evaluated);
    Measured(Measured);
    Drawn(Drawn);
    Probed(Probed);
    ScriptChecked(ScriptChecked);
    Compared(Compared);
    Verified(Verified);
    Exported(Exported);
    Embedded(Embedded);
}

impl From<Inspected> for Finished {
    fn from(reply: Inspected) -> Finished {
        Finished::Inspected(Box::new(reply))
    }
}

impl TryFrom<Finished> for Inspected {
    type Error = WrongReply;

    fn try_from(finished: Finished) -> Result<Inspected, WrongReply> {
        match finished {
            Finished::Inspected(reply) => Ok(*reply),
            _ => Err(WrongReply),
        }
    }
}

/// A data set that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// The number of images.
    pub images: u64,
}

/// A summary of the images of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inspected {
    /// Both halves, the training half first.
    pub halves: Vec<InspectedHalf>,
    /// The number of intact images of each format.
    pub formats: BTreeMap<String, u64>,
    /// The number of intact images with one channel.
    pub grey: u64,
    /// Minimum, median and maximum width in pixels; `None` if no image is intact.
    pub widths: Option<[u64; 3]>,
    /// Minimum, median and maximum height in pixels.
    pub heights: Option<[u64; 3]>,
    /// The number of images with a bounding box.
    pub boxes: u64,
    /// The number of intact images with transparent pixels.
    #[serde(default)]
    pub transparent: u64,
    /// The number of intact images whose EXIF data say that they are to be turned or mirrored when shown.
    #[serde(default)]
    pub turned: u64,
    /// Images whose bounding box reaches out of the image.
    #[serde(rename = "outside")]
    pub reaching_out: Vec<InspectedImage>,
    /// Images whose bounding box is outside of the image.
    #[serde(rename = "wholly_outside", default)]
    pub outside: Vec<InspectedImage>,
    /// One sentence for each image that cannot be decoded.
    pub corrupt: Vec<String>,
    /// Groups of images with identical pixels.
    pub duplicates: Vec<Vec<InspectedImage>>,
    /// What is beside the images and not listed, one line for each folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_aside: Vec<String>,
}

/// The size of one half of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectedHalf {
    /// The half.
    pub half: Half,
    /// The number of classes.
    pub classes: u64,
    /// The number of images.
    pub images: u64,
    /// Minimum, median and maximum number of images per class.
    pub per_class: [u64; 3],
    /// The number of queries and of gallery images, if the data set separates them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries_and_gallery: Option<[u64; 2]>,
}

/// An image that an inspection mentions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectedImage {
    /// Its half.
    pub half: Half,
    /// Its class.
    pub class: String,
    /// Its file, relative to the data set's own folder if it is inside.
    pub path: String,
}

/// A sheet of images that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SheetDrawn {
    /// The number of classes on it.
    pub classes: u32,
    /// The number of images on it.
    pub images: u32,
    /// One sentence for each image that cannot be decoded.
    pub corrupt: Vec<String>,
}

/// Weights that fit a backbone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fitted {
    /// The backbone that they are of, with the settings that their tensors show. Absent: the one that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backbone: Option<Backbone>,
    /// The number of tensors that the backbone uses.
    pub used: u64,
    /// The names of the others: classifier weights, batch counters.
    pub ignored: Vec<String>,
    /// What stands before the names of the backbone in the file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// What stands before the names of other networks in the file that fit as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rivals: Vec<String>,
    /// True if the weights were written to [`WeightsWork::into`](crate::WeightsWork::into). Otherwise
    /// the file holds them as the backbone reads them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_converted: bool,
}

impl Fitted {
    /// Returns the reply for a file of this many tensors and nothing else.
    pub fn of(used: u64) -> Fitted {
        Fitted {
            backbone: None,
            used,
            ignored: Vec::new(),
            prefix: String::new(),
            rivals: Vec::new(),
            is_converted: false,
        }
    }
}

/// The size of a prepared data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// The number of training classes.
    pub training_classes: u64,
    /// The number of training images.
    pub training_images: u64,
    /// The number of test classes.
    pub test_classes: u64,
    /// The number of test images.
    pub test_images: u64,
}

/// The summary of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// How the training ended.
    pub end: TrainingEnd,
    /// Steps done.
    pub steps: u64,
    /// The step whose weights were kept: the best on validation, or the last.
    pub kept_step: u64,
    /// The validation scores of those weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Scores>,
    /// Steps without a pair or triplet that contributed to the loss.
    pub empty_steps: u64,
    /// What was minimized, to be compared with other objectives. Absent if it cannot be compared, or an earlier version
    /// trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<ObjectiveSample>,
}

impl Trained {
    /// True if most steps were empty, as when a miner finds no pairs: a sign of unsuitable settings.
    pub fn was_mostly_idle(&self) -> bool {
        2 * self.empty_steps > self.steps
    }
}

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainingEnd {
    /// All steps were done.
    Completed,
    /// Validation stopped improving.
    OutOfPatience,
    /// The training broke down; its network is not measured.
    Broken(Breakdown),
}

/// Metrics of embeddings from files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The queries; without a gallery, each is searched among all the others.
    pub queries: Box<MeasuredSet>,
    /// The gallery, if separate from the queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gallery: Option<Box<MeasuredSet>>,
    /// Queries left out because no image that is searched has their class.
    #[serde(rename = "lone")]
    pub without_positive: u64,
    /// Queries that exactly equal an embedding of a separate gallery.
    pub queries_in_gallery: u64,
    /// Searched embeddings that exactly equal an earlier one.
    pub duplicates: u64,
    /// The mean cosine between two searched embeddings: near 1 if they have collapsed.
    pub mean_cosine: f64,
    /// The values, as fractions.
    pub scores: Scores,
    /// The values if correct images came first among equally similar ones; empty without ties.
    pub optimistic: Scores,
    /// The values if correct images came last among equally similar ones; empty without ties.
    pub pessimistic: Scores,
}

/// What was read from a file of embeddings and a file of labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasuredSet {
    /// The number of images.
    pub images: u64,
    /// The number of values of each.
    pub width: u64,
    /// The number of different labels.
    pub classes: u64,
    /// The number of cameras; 0 if none is named.
    #[serde(default)]
    pub cameras: u64,
    /// For each level, the narrowest first, the number of super-classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub super_classes: Vec<u64>,
    /// What of the file of embeddings was left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// What of the file of labels was left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out_of_labels: Vec<LeftOut>,
    /// Why the values may be no embeddings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<Doubt>,
}

/// A part of a text file that holds neither embeddings nor labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOut {
    /// The first line.
    Heading {
        /// Its beginning.
        text: String,
    },
    /// The first column, which numbers or names the rows.
    Index,
    /// Columns of a table of labels.
    Columns {
        /// Their names in the heading; one may have none.
        names: Vec<String>,
    },
}

/// A reason why values may be no embeddings, or not comparable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// The first row may be the heading of a table.
    FirstRow,
    /// A column counts the rows: 0, 1, 2, .. or 1, 2, 3, ..
    CountingColumn {
        /// Its index, from 0.
        column: u64,
    },
    /// A column has one value for each class.
    LabelColumn {
        /// Its index, from 0.
        column: u64,
    },
    /// Rows of zeros, which are equally similar to all others.
    ZeroRows {
        /// Their number.
        rows: u64,
        /// The index of the first, from 0.
        first: u64,
    },
    /// Rows that repeat one value, other than zero.
    ConstantRows {
        /// Their number.
        rows: u64,
        /// The index of the first, from 0.
        first: u64,
    },
    /// All images have the same label.
    OneClass,
    /// The labels count the rows: each image has a class of its own.
    NumberedLabels,
    /// Dot products of rows of different lengths: long rows are preferred.
    Lengths {
        /// The shortest.
        shortest: f64,
        /// The longest.
        longest: f64,
    },
}

/// A picture of nearest neighbors that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawn {
    /// The number of neighbors of the query's class.
    #[serde(rename = "right")]
    pub correct: u32,
    /// The number of neighbors.
    #[serde(rename = "of")]
    pub count: u32,
    /// The query, if it is a test image, then its neighbors, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<DrawnImage>,
}

/// An image in a picture of nearest neighbors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawnImage {
    /// Its index among the test images.
    pub index: u64,
    /// Its class.
    pub class: String,
    /// Its file, relative to the data set's own folder if it is inside. Absent: it is drawn by the program, or was
    /// prepared by an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// The result of computing the first training step several times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// The tensors whose bits differed, in the order in which they are computed.
    pub different: Vec<String>,
}

/// A network that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// The number of its tensors.
    pub tensors: u64,
    /// The number of its parameters.
    pub parameters: u64,
    /// The dimensions of an embedding.
    pub width: u64,
}

/// Photos that were embedded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embedded {
    /// The number of photos.
    pub images: u64,
    /// The dimensions of an embedding.
    pub width: u64,
    /// One sentence for each photo that cannot be decoded and was left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub corrupt: Vec<String>,
}

/// Results that were recomputed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verified {
    /// In the order of the request.
    pub results: Vec<Recomputed>,
}

/// A result that was recomputed from its embeddings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recomputed {
    /// What the embeddings give; `None` if they cannot be measured.
    pub evaluated: Option<Evaluated>,
    /// What contradicts the result, or why it cannot be recomputed, one sentence each.
    pub faults: Vec<String>,
    /// The test images that were embedded again for it; runs that an earlier result has count there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<EmbeddedAgain>,
    /// Why networks could not embed test images again although they were asked to, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_embedded: Vec<String>,
}

/// Test images that the networks of runs embedded again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EmbeddedAgain {
    /// The number of networks.
    pub networks: u64,
    /// The number of embeddings.
    pub images: u64,
    /// The largest distance of an embedding from the one that is kept, both of length 1.
    pub distance: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Event;

    /// Lines that trainers of protocol 1 write.
    const LINES: [&str; 6] = [
        r#"{"finished":{"imported":{"images":5}}}"#,
        r#"{"finished":{"fitted":{"used":2,"ignored":["fc.weight"]}}}"#,
        r#"{"finished":{"sheet":{"classes":2,"images":4,"corrupt":[]}}}"#,
        r#"{"finished":{"drawn":{"right":1,"of":5}}}"#,
        r#"{"finished":{"probed":{"different":["loss"]}}}"#,
        r#"{"finished":{"evaluated":{"classes":2,"images":4,"lone":1,"scores":{"map@r":0.5}}}}"#,
    ];

    #[test]
    fn replies_keep_their_form_on_the_wire() {
        for line in LINES {
            let event: Event = serde_json::from_str(line).unwrap();
            assert_eq!(serde_json::to_string(&event).unwrap(), line);
        }
    }

    #[test]
    fn a_reply_of_another_kind_is_refused() {
        let finished = Finished::from(Imported { images: 5 });
        assert_eq!(Imported::try_from(finished.clone()).unwrap().images, 5);
        assert_eq!(Trained::try_from(finished), Err(WrongReply));
    }
}

/// The objectives of trainings on fixed batches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    /// That of each recipe, in their order; none where an objective cannot be compared.
    pub samples: Vec<Option<ObjectiveSample>>,
}

/// What was found of a loss or a miner of the user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptChecked {
    /// Its settings, with the values that were checked.
    pub settings: BTreeMap<String, f64>,
    /// The shapes of its trained parameters, by name, for as many classes and as wide an embedding as the probe has.
    pub parameters: BTreeMap<String, Vec<i64>>,
    /// What it was checked for, in order.
    pub checks: Vec<ScriptCheck>,
    /// The keys of built-in parts that are the same function at their defaults.
    pub equals: Vec<String>,
    /// Milliseconds that it takes for a batch of 128 images, with the gradient of a loss.
    pub milliseconds: f64,
    /// The key of a built-in part, and its milliseconds.
    pub beside: (String, f64),
}

/// One check of a loss or a miner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptCheck {
    /// What it was checked for.
    pub property: ScriptProperty,
    /// One clause about what is wrong. Absent: it has the property.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// What every built-in loss or miner is tested for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScriptProperty {
    /// It takes a batch and returns what it should.
    Contract,
    /// The same batch gives the same bits.
    Repeats,
    /// The order of the images does not matter.
    Order,
    /// The numbers of the classes do not matter.
    ClassNames,
    /// A memory that holds the batch is the batch.
    Memory,
    /// One image, one class and classes of one image give finite numbers.
    SmallBatches,
    /// The gradient is that of the value.
    Gradient,
}
