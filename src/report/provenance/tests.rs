use schema::{GpuModel, Host};

use super::*;
use crate::tests::{METRICS, finished, row};

fn attempt(processor: &str, ended: &str, milliseconds: u64) -> Computation {
    Computation {
        sweep: "0.1.0 (abc)".to_owned(),
        trainer: "sweep-trainer 0.1.0 (abc)".to_owned(),
        host: Some(Host {
            processor: processor.to_owned(),
            gpu: None,
            libtorch: Some("2.11.0+cpu".to_owned()),
            memory: Some(250_000_000),
        }),
        parameters: Some(1000),
        ended: ended.to_owned(),
        milliseconds,
    }
}

fn origin(processor: &str) -> Origin {
    Origin {
        training: vec![
            Arc::new(attempt(processor, "2026-01-01T10:00:00Z", 5_400_000)),
            Arc::new(attempt(processor, "2026-01-01T12:00:00Z", 1_800_000)),
        ],
        measuring: vec![Arc::new(attempt(processor, "2026-01-01T12:01:00Z", 36_000))],
        images: Some(7200),
        validation: Some([(Metric::MapAtR, 0.75)].into()),
    }
}

/// Two methods with two seeds each, all of whose origins are known except those of the last run.
fn example(processors: [&str; 3]) -> Provenance {
    let rows: Vec<Row> = [("A", 0), ("A", 1), ("Bb", 0), ("Bb", 1)]
        .into_iter()
        .map(|(method, seed)| row("shoes", method, seed, finished(0.5, 0.25)))
        .collect();
    let origins = rows.iter().zip(processors);
    let origins = origins.map(|(row, processor)| (row.run, Arc::new(origin(processor))));
    let tried = Tried {
        runs: 9,
        cost: Cost::of(&attempt("x", "2026-01-01T10:00:00Z", 7_200_000)),
        measured: vec![EverMeasured {
            dataset: rows[0].dataset.clone(),
            recipes: 3,
            runs: 12,
        }],
    };
    let metrics = |_: &Dataset| METRICS.to_vec();
    provenance("tiny", &rows, &metrics, &origins.collect(), tried)
}

#[test]
fn origins_are_summarized_for_each_row() {
    insta::assert_snapshot!(example(["Intel X", "Intel X", "Intel X"]).markdown(), @r"
    # tiny: where the numbers come from

    - Orchestrated by sweep 0.1.0 (abc).
    - Trained and measured by sweep-trainer 0.1.0 (abc).
    - With libtorch 2.11.0+cpu.
    - Computed on Intel X.
    - Measured from 2026-01-01T12:01:00Z to 2026-01-01T12:01:00Z.
    - The sweep took 0.00 GPU-hours and 2.00 hours on CPUs, in 1 attempt.
    - The tables show 4 runs; 9 runs of the sweep have a result.
    - 3 recipes (12 runs) have ever been measured on the test classes of shoes with this results folder.

    ## shoes

    | method | parameters | images/s | hours | memory | metric | validation | test |
    | :--- | ---: | ---: | ---: | ---: | :--- | ---: | ---: |
    | A | 1000 | 1 | 4.020 | 0.25 GB | MAP@R | 75.00 | 25.00 |
    | Bb | 1000 | 1 | 2.010 | 0.25 GB | MAP@R | 75.00 | 25.00 |

    Parameters are those of the network. Images/s is the mean over the runs of the images of all batches by the time of all attempts at a training, with start, validation and checkpoints. Hours are the time of all attempts at the runs of a row; several may have shared a GPU. Memory is the largest of a process: of the GPU if it computes there, else of the machine. Validation classes are others than test classes, so the two columns differ also without any choice. Each run is in provenance.csv.
    ");
}

#[test]
fn each_run_has_a_line_of_its_own() {
    insta::assert_snapshot!(example(["Intel X", "Intel X", "=AMD"]).csv().unwrap(), @r"
    dataset,method,seed,fold,run,device,driver,sweep,trainer,libtorch,ended,attempts,seconds,images_per_second,memory_bytes,parameters,metric,validation,test
    shoes,A,0,,0000000000000096,Intel X,,0.1.0 (abc),sweep-trainer 0.1.0 (abc),2.11.0+cpu,2026-01-01T12:01:00Z,3,7236,1,250000000,1000,map@r,0.75,0.25
    shoes,A,1,,0000000000000097,Intel X,,0.1.0 (abc),sweep-trainer 0.1.0 (abc),2.11.0+cpu,2026-01-01T12:01:00Z,3,7236,1,250000000,1000,map@r,0.75,0.25
    shoes,Bb,0,,00000000000000fa,'=AMD,,0.1.0 (abc),sweep-trainer 0.1.0 (abc),2.11.0+cpu,2026-01-01T12:01:00Z,3,7236,1,250000000,1000,map@r,0.75,0.25
    shoes,Bb,1,,00000000000000fb,,,,,,,0,,,,,,,
    ");
}

#[test]
fn a_mixture_of_devices_is_told_with_the_runs_of_each() {
    assert_eq!(example(["Intel X"; 3]).mixture(), None);
    assert_eq!(
        example(["Intel X", "AMD Y", "Intel X"]).mixture().unwrap(),
        "Computed on different devices, whose results differ in the last digits (AMD Y: 1 run; Intel X: 2 runs)."
    );
}

#[test]
fn a_run_on_a_gpu_is_computed_by_the_gpu_whatever_the_processor() {
    let mut on_gpu = attempt("Intel X", "2026-01-01T10:00:00Z", 0);
    let gpu = GpuModel {
        model: "H100".to_owned(),
        driver: "580".to_owned(),
        memory: Some(3_000_000_000),
    };
    if let Some(host) = &mut on_gpu.host {
        host.gpu = Some(gpu);
        assert_eq!(host.device(), "H100");
    }
    assert_eq!(memory(&on_gpu), Some(3_000_000_000));
}
