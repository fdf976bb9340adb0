//! What a trainer says while it works: one JSON object a line, the contract between the processes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Evaluated, Half, Scores};

/// What a trainer says while it works.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The first word: work begins.
    Started {
        /// The step it continues from; 0 at a fresh start.
        from: u64,
    },
    /// Work goes on. Said a few times a second at most.
    Progress {
        /// Steps, or images, that are done.
        done: u64,
        /// Of how many.
        total: u64,
        /// The loss of the latest step, while training.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        loss: Option<f64>,
    },
    /// Something that a person may want to know, in a sentence.
    Remark {
        /// The sentence.
        text: String,
    },
    /// The validation classes have been measured.
    Scores {
        /// After how many steps.
        step: u64,
        /// The values.
        validation: Scores,
    },
    /// How the memory is doing. Said every hundred batches.
    Memory {
        /// After how many batches.
        step: u64,
        /// The share of its slots that have been written.
        fill: f64,
        /// How many batches ago a slot was written, on the average.
        age: f64,
        /// The mean Euclidean distance of a batch's embeddings from those that the memory holds of the same images;
        /// nothing if it holds none of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        drift: Option<f64>,
    },
    /// A checkpoint is safely on disk.
    Checkpoint {
        /// After how many steps.
        step: u64,
    },
    /// The last word of work that ended well.
    Finished(Finished),
    /// The last word of work that did not.
    Failed {
        /// What kind of failure.
        class: Failure,
        /// One sentence for a person.
        message: String,
    },
}

/// What finished work leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finished {
    /// The data set lies unpacked and verified in its folder.
    Imported {
        /// Images that are there.
        images: u64,
    },
    /// Every image was decoded once.
    Inspected(Box<Inspected>),
    /// The sheet of images is written.
    Sheet {
        /// Classes on it.
        classes: u32,
        /// Images on it.
        images: u32,
        /// Why some could not be drawn, a sentence for each.
        corrupt: Vec<String>,
    },
    /// The weights fit the backbone.
    Fitted {
        /// Tensors that the backbone takes.
        used: u64,
        /// Tensors that are left aside: those of a classifier, and counters of batches.
        ignored: Vec<String>,
    },
    /// The prepared data set lies in its folder.
    Prepared(Prepared),
    /// The trained network lies in the run's folder.
    Trained(Trained),
    /// The test classes are measured.
    Evaluated(Evaluated),
    /// Embeddings from files are measured.
    Measured(Box<Measured>),
    /// The picture is written.
    Drawn {
        /// How many of the neighbours are of the query's class.
        right: u32,
        /// How many neighbours there are.
        of: u32,
    },
    /// The first step of a training was done several times.
    Probed {
        /// What did not have the same bits each time, in the order in which it is computed.
        different: Vec<String>,
    },
}

/// What the images of a data set are like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inspected {
    /// Both halves, the one to train on first.
    pub halves: Vec<InspectedHalf>,
    /// How many whole images there are of each format.
    pub formats: BTreeMap<String, u64>,
    /// How many of them have one channel.
    pub grey: u64,
    /// The least, the median and the greatest width in pixels; nothing if no image is whole.
    pub widths: Option<[u64; 3]>,
    /// The same of heights.
    pub heights: Option<[u64; 3]>,
    /// How many images have a box to cut out.
    pub boxes: u64,
    /// Images whose box reaches out of them.
    pub outside: Vec<InspectedImage>,
    /// Images that cannot be decoded, and why, a sentence for each.
    pub corrupt: Vec<String>,
    /// Images of exactly the same pixels, in groups.
    pub duplicates: Vec<Vec<InspectedImage>>,
}

/// How much there is in one half of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectedHalf {
    /// Which.
    pub half: Half,
    /// Its classes.
    pub classes: u64,
    /// Its images.
    pub images: u64,
    /// The least, the median and the greatest number of images of a class.
    pub per_class: [u64; 3],
    /// Queries and images that are searched, where these are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries_and_gallery: Option<[u64; 2]>,
}

/// An image that there is something to say about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectedImage {
    /// Its half.
    pub half: Half,
    /// Its class.
    pub class: String,
    /// Its file, relative to the data set's own folder if it lies there.
    pub path: String,
}

/// What was measured of embeddings from files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Images that were searched for, each among all the others if there is no gallery.
    pub images: u64,
    /// Images that were searched, if those are others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gallery: Option<u64>,
    /// Queries left out because no other image that was searched is of their class.
    pub lone: u64,
    /// Searched images that exactly equal an earlier one.
    pub duplicates: u64,
    /// The mean cosine between two searched images: near 1, the embeddings have collapsed.
    pub mean_cosine: f64,
    /// The values, as fractions.
    pub scores: Scores,
    /// What the values would be if the right ones among exactly equally similar images came first; empty if there
    /// are none.
    pub optimistic: Scores,
    /// What they would be if those came last.
    pub pessimistic: Scores,
}

/// What there is in a prepared data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// Classes to train on.
    pub training_classes: u64,
    /// Their images.
    pub training_images: u64,
    /// Classes to test on.
    pub test_classes: u64,
    /// Their images.
    pub test_images: u64,
}

/// How a training went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// Whether it came to its end.
    pub end: TrainingEnd,
    /// Steps done.
    pub steps: u64,
    /// The step whose weights were kept: the best on validation, or the last.
    pub kept_step: u64,
    /// The validation scores of those weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Scores>,
    /// Steps in which no pair or triplet contributed to the loss.
    pub empty_steps: u64,
}

impl Trained {
    /// Whether most steps taught nothing, as when a miner finds no more pairs: a sign of wrong settings.
    pub fn was_mostly_idle(&self) -> bool {
        2 * self.empty_steps > self.steps
    }
}

/// Whether a training came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainingEnd {
    /// All steps were done.
    Completed,
    /// Validation had not improved for long enough.
    OutOfPatience,
    /// It went wrong: what it left is not to be measured.
    Broken(Breakdown),
}

/// How a training went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Breakdown {
    /// The loss was not a finite number.
    Diverged,
    /// All images had nearly the same embedding.
    Collapsed,
    /// No pair or triplet contributed to the loss any more.
    Dead,
}

impl Breakdown {
    /// One word, as a table shows it.
    pub fn word(self) -> &'static str {
        match self {
            Breakdown::Diverged => "diverged",
            Breakdown::Collapsed => "collapsed",
            Breakdown::Dead => "dead",
        }
    }

    /// What it means.
    pub fn reason(self) -> &'static str {
        match self {
            Breakdown::Diverged => "the loss was not a finite number",
            Breakdown::Collapsed => "all images had nearly the same embedding",
            Breakdown::Dead => "nothing contributed to the loss any more",
        }
    }
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// A file of the data set is missing, unreadable or not what it should be.
    Data,
    /// A file could not be written: no space, no permission.
    Disk,
    /// The recipe asks for something impossible.
    Recipe,
    /// The device is not there.
    Device,
    /// The program itself is at fault.
    Internal,
    /// The process ended without a last word: killed, out of memory, crashed.
    Crashed,
    /// The process said nothing for too long, and was killed.
    Hung,
}
