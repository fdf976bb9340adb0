use std::io::Write;

use tempfile::TempDir;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;

/// A pickle of a dictionary of tensors of `FloatStorage`, as `torch.save` describes them.
struct Described {
    program: Vec<u8>,
}

impl Described {
    fn new() -> Described {
        Described {
            program: b"\x80\x02}(".to_vec(),
        }
    }

    fn text(&mut self, text: &str) {
        self.program.push(b'X');
        self.program
            .extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        self.program.extend(text.as_bytes());
    }

    fn integers(&mut self, numbers: &[i64]) {
        self.program.push(b'(');
        for number in numbers {
            self.program.extend(b"\x8a\x08");
            self.program.extend(number.to_le_bytes());
        }
        self.program.push(b't');
    }

    fn tensor(
        mut self,
        name: &str,
        storage: (&str, &str, i64),
        shape: &[i64],
        strides: &[i64],
    ) -> Described {
        let (class, key, count) = storage;
        self.text(name);
        self.program
            .extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage");
        self.program.extend(format!("ctorch\n{class}\n").as_bytes());
        self.text(key);
        self.text("cpu");
        self.program.extend(b"\x8a\x08");
        self.program.extend(count.to_le_bytes());
        self.program.extend(b"tQK\x00");
        self.integers(shape);
        self.integers(strides);
        self.program.extend(b"\x89)tR");
        self
    }

    fn end(mut self) -> Vec<u8> {
        self.program.extend(b"u.");
        self.program
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn zipped(folder: &TempDir, files: &[(&str, &[u8])]) -> PathBuf {
    let path = folder.path().join("a.pth");
    let mut zip = ZipWriter::new(File::create(&path).unwrap());
    for (name, content) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap();
    path
}

fn numbers(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn opened(path: &Path) -> Result<Vec<(String, Tensor)>, TensorFileError> {
    let mut file = TensorFile::open(path)?;
    let entries = file.entries().to_vec();
    entries
        .into_iter()
        .map(|entry| Ok((entry.name.clone(), file.tensor(&entry)?)))
        .collect()
}

const FLOATS: (&str, &str, i64) = ("FloatStorage", "0", 4);

#[test]
fn tensors_of_pytorch_share_storages_and_are_read_in_their_own_order() {
    let folder = folder();
    let pickle = Described::new()
        .tensor("whole", FLOATS, &[4], &[1])
        .tensor("columns", FLOATS, &[2, 2], &[1, 2])
        .end();
    let path = zipped(
        &folder,
        &[
            ("archive/data.pkl", &pickle),
            ("archive/byteorder", b"little"),
            ("archive/data/0", &numbers(&[1.0, 2.0, 3.0, 4.0])),
        ],
    );
    let tensors = opened(&path).unwrap();
    assert_eq!(tensors[0].0, "whole");
    assert_eq!(tensors[0].1, Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0]));
    assert_eq!(
        tensors[1].1,
        Tensor::from_slice2(&[[1f32, 3.0], [2.0, 4.0]])
    );
}

#[test]
fn the_older_format_is_read() {
    let folder = folder();
    let path = folder.path().join("a.pth");
    let pickle = Described::new().tensor("bias", FLOATS, &[4], &[1]).end();
    let mut file = pytorch::OLDER_MAGIC.to_vec();
    file.extend(b"\x80\x02M\xe9\x03.");
    file.extend(b"\x80\x02}X\x0d\x00\x00\x00little_endian\x88s.");
    file.extend(pickle);
    file.extend(b"\x80\x02]X\x01\x00\x00\x000a.");
    file.extend(4u64.to_le_bytes());
    file.extend(numbers(&[1.0, 2.0, 3.0, 4.0]));
    std::fs::write(&path, &file).unwrap();
    assert_eq!(
        opened(&path).unwrap()[0].1,
        Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0])
    );
    std::fs::write(&path, &file[..file.len() - 1]).unwrap();
    assert!(matches!(opened(&path), Err(TensorFileError::Damaged(_))));
}

#[test]
fn a_tensor_that_its_storage_does_not_hold_is_refused() {
    let huge = i64::MAX;
    for (count, shape, strides) in [
        (4, &[5][..], &[1][..]),
        (4, &[2], &[4]),
        (4, &[2, 3], &[0, 0]),
        (4, &[huge, huge], &[1, 1]),
        (4, &[2], &[huge]),
        (4, &[-1], &[1]),
        (4, &[1], &[]),
        (-1, &[4], &[1]),
        (huge, &[huge], &[1]),
        // More than the file is long.
        (1 << 40, &[1 << 40], &[1]),
        (5, &[5], &[1]),
    ] {
        let folder = folder();
        let storage = ("FloatStorage", "0", count);
        let pickle = Described::new().tensor("a", storage, shape, strides).end();
        let four = numbers(&[0.0; 4]);
        let path = zipped(&folder, &[("a/data.pkl", &pickle), ("a/data/0", &four)]);
        let refused = opened(&path);
        assert!(
            matches!(refused, Err(TensorFileError::Damaged(_))),
            "{count} {shape:?} {refused:?}"
        );
    }
}

#[test]
fn a_small_file_cannot_stand_for_many_numbers() {
    let folder = folder();
    let count = 64 << 20;
    let storage = ("FloatStorage", "0", count / 4);
    let pickle = Described::new()
        .tensor("a", storage, &[count / 4], &[1])
        .end();
    let zeros = vec![0; count as usize];
    let path = zipped(&folder, &[("a/data.pkl", &pickle), ("a/data/0", &zeros)]);
    assert!(path.metadata().unwrap().len() < 1 << 20);
    assert!(matches!(opened(&path), Err(TensorFileError::Damaged(_))));
}

#[test]
fn whole_modules_and_files_without_tensors_are_named() {
    let folder = folder();
    let refused = |pickle: &[u8]| {
        let path = zipped(&folder, &[("a/data.pkl", pickle)]);
        opened(&path).unwrap_err().to_string()
    };
    let module = refused(b"\x80\x02cmodels.resnet\nResNet\n)\x81}b.");
    assert!(
        module.contains("`models.resnet.ResNet`, not named tensors"),
        "{module}"
    );
    let within = refused(b"\x80\x02}(U\x05modelcmodels\nNet\n)\x81U\x05epochK\x03u.");
    assert!(within.contains("`models.Net` as `model`"), "{within}");
    assert_eq!(refused(b"\x80\x02}."), "it holds no named tensors");
    let unknown = Described::new().tensor("a", ("Float9Storage", "0", 1), &[1], &[1]);
    assert!(refused(&unknown.end()).contains("`torch.Float9Storage`"));
}

#[test]
fn zip_archives_of_others_are_named() {
    let folder = folder();
    let refused = |name: &str| {
        let path = zipped(&folder, &[(name, b"abc")]);
        opened(&path).unwrap_err().to_string()
    };
    assert!(refused("weight.npy").contains("NumPy"));
    assert!(refused("images/a.jpg").contains("zip archive without tensors"));
    assert!(refused("a/data.pkl").contains("pickle"));
}

#[test]
fn a_cut_archive_is_damaged() {
    let folder = folder();
    let path = zipped(&folder, &[("a/data.pkl", b"\x80\x02}.")]);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 30]).unwrap();
    assert!(
        opened(&path)
            .unwrap_err()
            .to_string()
            .contains("not downloaded whole")
    );
}

#[test]
fn safetensors_are_read_in_every_precision_and_refused_if_cut_or_impossible() {
    let folder = folder();
    let path = folder.path().join("a.safetensors");
    let half = Tensor::from_slice(&[1f32, -2.0]).to_kind(Kind::Half);
    Tensor::write_safetensors(&[("a.weight", &half)], &path).unwrap();
    assert_eq!(opened(&path).unwrap(), [("a.weight".to_owned(), half)]);
    let whole = std::fs::read(&path).unwrap();
    let refused = |content: &[u8]| {
        std::fs::write(&path, content).unwrap();
        opened(&path).unwrap_err().to_string()
    };
    assert!(refused(&whole[..whole.len() - 1]).contains("length"));
    let with_header = |header: &str| {
        let length = header.len() as u64;
        [&length.to_le_bytes()[..], header.as_bytes()].concat()
    };
    let overflowing = r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904],"data_offsets":[0,0]}}"#;
    assert!(refused(&with_header(overflowing)).contains("damaged"));
    let reversed = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]},"b":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#;
    assert!(refused(&with_header(reversed)).contains("damaged"));
    assert!(
        refused(&with_header(
            r#"{"a":{"dtype":"U64","shape":[0],"data_offsets":[0,0]}}"#
        ))
        .contains("`U64`")
    );
    assert!(refused(&with_header("{}")).contains("no named tensors"));
    assert!(refused(&with_header("{]")).contains("its header is not"));
    assert!(refused(&[&(1u64 << 62).to_le_bytes()[..], b"{}"].concat()).contains("longer"));
}

fn testdata(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tensor_file/testdata")).join(name)
}

#[test]
fn checkpoints_that_pytorch_wrote_are_read_in_both_formats() {
    for name in ["checkpoint.pth", "checkpoint_before_1.6.pth"] {
        let tensors = opened(&testdata(name)).unwrap();
        let found = |name: &str| {
            let of = |(candidate, _): &&(String, Tensor)| candidate == name;
            tensors.iter().find(of).map(|(_, tensor)| tensor).unwrap()
        };
        let count = |shape: &[i64]| {
            let total = shape.iter().product::<i64>();
            Tensor::arange(total, (Kind::Float, tch::Device::Cpu)).view(shape)
        };
        let expected = [
            ("float", Kind::Float, count(&[2, 3])),
            ("double", Kind::Double, count(&[3])),
            ("half", Kind::Half, count(&[3])),
            ("bfloat16", Kind::BFloat16, count(&[3])),
            ("long", Kind::Int64, count(&[3])),
            ("scalar", Kind::Float, count(&[]) + 7.0),
            ("empty", Kind::Float, count(&[0, 3])),
            ("parameter", Kind::Float, count(&[3])),
            ("transposed", Kind::Float, count(&[3, 2]).tr()),
            ("part", Kind::Float, count(&[1, 2]) + 8.0),
        ];
        for (key, kind, value) in expected {
            let tensor = found(&format!("state_dict.{key}"));
            assert_eq!(
                (tensor.kind(), tensor.size()),
                (kind, value.size()),
                "{name} {key}"
            );
            assert_eq!(tensor.to_kind(Kind::Float), value, "{name} {key}");
        }
        assert_eq!(found("optimizer.state.0.exp_avg").size(), [1]);
        assert_eq!(tensors.len(), 11);
    }
}

#[test]
fn a_changed_byte_is_noticed_by_the_checksum_of_the_archive() {
    let folder = folder();
    let path = folder.path().join("a.pth");
    let mut file = std::fs::read(testdata("checkpoint.pth")).unwrap();
    let two_and_three = numbers(&[2.0, 3.0]);
    let place = file
        .windows(two_and_three.len())
        .position(|bytes| bytes == two_and_three)
        .unwrap();
    file[place + 2] ^= 1;
    std::fs::write(&path, &file).unwrap();
    assert!(matches!(opened(&path), Err(TensorFileError::Damaged(_))));
}

#[test]
fn the_tensors_of_a_torchscript_module_are_read_by_the_names_of_its_attributes() {
    let path = testdata("torchscript.pt");
    assert!(TensorFile::open(&path).unwrap().is_torchscript());
    let tensors = opened(&path).unwrap();
    let named = |name: &str| {
        let mut tensors = tensors.iter();
        let (_, tensor) = tensors.find(|(of, _)| of == name).unwrap();
        tensor.to_kind(Kind::Float)
    };
    let count = |total: i64| Tensor::arange(total, (Kind::Float, tch::Device::Cpu));
    assert_eq!(named("visual.layers.0.weight"), count(6).view([2, 3]));
    assert_eq!(named("visual.layers.0.bias"), count(2));
    assert_eq!(named("visual.proj"), count(4).view([2, 2]));
    assert_eq!(tensors.len(), 3);
    assert!(
        !TensorFile::open(&testdata("checkpoint.pth"))
            .unwrap()
            .is_torchscript()
    );
}

/// Writes an index and the files that it names, each with the tensor of its name, and returns the index.
fn sharded(folder: &TempDir, index: &str, files: &[(&str, &str)]) -> PathBuf {
    for (number, (file, name)) in (0..).zip(files) {
        let tensor = Tensor::from_slice(&[number as f32]);
        Tensor::write_safetensors(&[(*name, &tensor)], folder.path().join(file)).unwrap();
    }
    let path = folder.path().join("model.safetensors.index.json");
    std::fs::write(&path, index).unwrap();
    path
}

const TWO: &[(&str, &str)] = &[
    ("model-00001-of-00002.safetensors", "a"),
    ("model-00002-of-00002.safetensors", "b"),
];

#[test]
fn tensors_in_several_files_are_read_through_their_index() {
    let folder = folder();
    let index = r#"{"metadata":{"total_size":8},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}"#;
    let index = sharded(&folder, index, TWO);
    let number = |number: f32| Tensor::from_slice(&[number]);
    assert_eq!(
        opened(&index).unwrap(),
        [("a".to_owned(), number(0.0)), ("b".to_owned(), number(1.0))]
    );
    assert!(!TensorFile::open(&index).unwrap().is_safetensors());
    let first = folder.path().join(TWO[0].0);
    assert_eq!(index_of(&first), Some(index));
    assert_eq!(index_of(&testdata("checkpoint.pth")), None);
}

#[test]
fn an_index_that_does_not_agree_with_its_files_is_refused() {
    for (map, says) in [
        (r#""a":"model-00003-of-00002.safetensors""#, "cannot read"),
        (r#""c":"model-00001-of-00002.safetensors""#, "no tensor `c`"),
        (
            r#""a":"../model-00001-of-00002.safetensors""#,
            "no name of a file",
        ),
        (r#""a":"..""#, "no name of a file"),
        (r#""a":"/etc/passwd""#, "no name of a file"),
        (r#""a":"model.safetensors.index.json""#, "another index"),
        ("", "no named tensors"),
        (r#""a":3"#, "no index"),
    ] {
        let folder = folder();
        let index = sharded(&folder, &format!(r#"{{"weight_map":{{{map}}}}}"#), TWO);
        let refused = opened(&index).unwrap_err().to_string();
        assert!(refused.contains(says), "{map}: {refused}");
    }
}

#[test]
fn modules_that_pytorch_wrote_are_named() {
    for name in ["module.pth", "module_before_1.6.pth"] {
        let refused = opened(&testdata(name)).unwrap_err().to_string();
        assert!(
            refused.contains("`torch.nn.modules.linear.Linear`"),
            "{refused}"
        );
    }
    let refused = opened(&testdata("one_tensor.pth")).unwrap_err();
    assert!(matches!(refused, TensorFileError::NoTensors), "{refused:?}");
}
