//! The arrays that a session would submit if every job succeeded, as far as they are known before there are results.

use super::{
    chunks::Array,
    dispatch::{Action, Dispatcher, ElementId, End, Input, Policy},
};
use crate::plan::agenda::JobSpec;

/// Returns the arrays in the order in which they would be submitted. Those after the first of a device wait for results.
pub fn arrays(jobs: impl IntoIterator<Item = (JobSpec, f64)>, policy: Policy) -> Vec<Array> {
    let mut dispatcher = Dispatcher::new(policy);
    dispatcher.add(jobs);
    let mut arrays = Vec::new();
    while !dispatcher.is_over() {
        for action in dispatcher.on(Input::Second) {
            if let Action::Submit(array, submitted) = action {
                dispatcher.on(Input::Accepted(array));
                for (chunk, jobs) in submitted.chunks.iter().enumerate() {
                    for &job in jobs {
                        dispatcher.on(Input::Done(job));
                    }
                    finish(ElementId { array, chunk }, &mut dispatcher);
                }
                arrays.push(submitted);
            }
        }
    }
    arrays
}

fn finish(element: ElementId, dispatcher: &mut Dispatcher) {
    let end = End::Finished;
    dispatcher.on(Input::Left(element, end));
    dispatcher.on(Input::Settled {
        element,
        end,
        progressed: true,
        tried: Default::default(),
    });
}
