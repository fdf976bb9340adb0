use std::{fs, io::Write, path::PathBuf};

use super::*;

/// A folder of files to read.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    fn with(self, name: &str, content: impl AsRef<[u8]>) -> Files {
        fs::write(self.path(name), content).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, embeddings: &str, labels: &str) -> Result<Labeled, String> {
        let files = EmbeddingFiles {
            embeddings: self.path(embeddings),
            labels: self.path(labels),
        };
        let folder = format!("{}/", self.0.path().display());
        labeled(&files).map_err(|failed| failed.message.replace(&folder, ""))
    }
}

/// Reads embeddings beside as many labels as they have rows.
fn embedded(name: &str, content: impl AsRef<[u8]>, rows: usize) -> Result<Labeled, String> {
    let labels: String = (0..rows)
        .map(|row| format!("class {}\n", row % 2))
        .collect();
    Files::new()
        .with(name, content)
        .with("l.txt", labels)
        .read(name, "l.txt")
}

fn values(content: impl AsRef<[u8]>, rows: usize) -> Result<(Vec<f32>, usize), String> {
    embedded("e", content, rows).map(|found| (found.values, found.width))
}

fn refused(content: impl AsRef<[u8]>) -> String {
    let message = values(content, 2).unwrap_err();
    assert!(message.len() < 250, "{message}");
    message
}

/// Reads labels beside as many embeddings as `rows`.
fn labels_in(name: &str, content: impl AsRef<[u8]>, rows: usize) -> Result<Vec<String>, String> {
    let embeddings = "0.5,0.25\n".repeat(rows);
    Files::new()
        .with("e.csv", embeddings)
        .with(name, content)
        .read("e.csv", name)
        .map(|found| found.labels)
}

fn npy_of(version: u8, header: &str, numbers: &[u8]) -> Vec<u8> {
    let length = (header.len() as u32).to_le_bytes();
    let length = &length[..if version == 1 { 2 } else { 4 }];
    let magic = [b"\x93NUMPY".as_slice(), &[version, 0]].concat();
    [&magic, length, header.as_bytes(), numbers].concat()
}

fn npy(kind: &str, by_columns: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
    let header =
        format!("{{'descr': '{kind}', 'fortran_order': {by_columns}, 'shape': ({shape}), }}  \n");
    npy_of(1, &header, numbers)
}

fn npz(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, array) in arrays {
        let options = zip::write::SimpleFileOptions::default();
        archive.start_file(*name, options).unwrap();
        archive.write_all(array).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

const SINGLES: [f32; 6] = [1.0, -2.0, 3.0, 4.5, 5.0, 6.0];

#[test]
fn arrays_of_every_version_order_and_type_are_read() {
    let little = SINGLES.map(f32::to_le_bytes).concat();
    let expected = Ok((SINGLES.to_vec(), 2));
    let header = "{\"descr\" : \"<f4\", 'fortran_order': False, 'shape': (3, 2)}\n";
    for version in [1, 2, 3] {
        assert_eq!(values(npy_of(version, header, &little), 3), expected);
    }
    let of = |kind, numbers: &[u8]| values(npy(kind, "False", "3, 2", numbers), 3);
    assert_eq!(of("=f4", &little), expected);
    assert_eq!(of(">f4", &SINGLES.map(f32::to_be_bytes).concat()), expected);
    let doubles = SINGLES.map(|value| f64::from(value).to_le_bytes()).concat();
    assert_eq!(of("<f8", &doubles), expected);
    let halves = SINGLES.map(|value| half::f16::from_f32(value).to_le_bytes());
    assert_eq!(of("<f2", &halves.concat()), expected);
    let halves = SINGLES.map(|value| half::f16::from_f32(value).to_be_bytes());
    assert_eq!(of(">f2", &halves.concat()), expected);
    let whole = [1i8, -2, 3, 4, -5, 6];
    let expected = Ok((whole.map(f32::from).to_vec(), 2));
    assert_eq!(of("|i1", &whole.map(|value| value as u8)), expected);
    assert_eq!(
        of(
            ">i2",
            &whole.map(|value| i16::from(value).to_be_bytes()).concat()
        ),
        expected
    );
    assert_eq!(
        of(
            "<i8",
            &whole.map(|value| i64::from(value).to_le_bytes()).concat()
        ),
        expected
    );
}

#[test]
fn arrays_may_be_stored_by_columns_and_have_axes_of_one() {
    let by_columns = [1f32, 3.0, 5.0, -2.0, 4.5, 6.0]
        .map(f32::to_le_bytes)
        .concat();
    let expected = Ok((vec![1.0, -2.0, 3.0, 4.5, 5.0, 6.0], 2));
    for shape in ["3, 2", "3, 2, 1, 1", "3, 1, 2"] {
        assert_eq!(values(npy("<f4", "True", shape, &by_columns), 3), expected);
    }
}

#[test]
fn a_damaged_or_foreign_array_is_refused_and_nothing_is_allocated_for_it() {
    let little = SINGLES.map(f32::to_le_bytes).concat();
    let of = |kind, shape| refused(npy(kind, "False", shape, &little));
    assert!(of("<f4", "3, 3").contains("too short for its shape [3, 3]"));
    for shape in [
        "4611686018427387904, 4",
        "18446744073709551615, 2",
        "99999999999, 512",
    ] {
        assert!(of("<f4", shape).contains("too short"), "{shape}");
    }
    assert!(of("<f4", "99999999999999999999999, 2").contains("no shape"));
    assert!(of("<f4", "6,").contains("its shape is [6], not [images, width]"));
    for kind in ["<c8", "|O", "<f16", "|V2", "<U3", "<", "", "é4", "<f", "<é"] {
        let message = of(kind, "3, 2");
        assert!(
            message.contains("numbers") || message.contains("type"),
            "{kind}: {message}"
        );
    }
    let longest = [b"\x93NUMPY\x02\x00".as_slice(), &[0xff; 4], b"{}"].concat();
    assert!(refused(longest).contains("header is damaged"));
    let whole = npy("<f4", "False", "3, 2", &little);
    for end in 6..whole.len() {
        refused(&whole[..end]);
    }
}

#[test]
fn an_archive_gives_its_only_array_or_the_one_that_is_named() {
    let array = |first: f32| npy("<f4", "False", "1, 1", &first.to_le_bytes());
    let files = Files::new()
        .with("one.npz", npz(&[("arr_0.npy", array(1.0))]))
        .with(
            "usual.npz",
            npz(&[("a.npy", array(2.0)), ("embeddings.npy", array(3.0))]),
        )
        .with(
            "two.npz",
            npz(&[("a.npy", array(4.0)), ("b.npy", array(5.0))]),
        )
        .with("model.pt", npz(&[("archive/data.pkl", vec![1])]))
        .with("docs.docx", npz(&[("word/document.xml", vec![1])]))
        .with(
            "l.npz",
            npz(&[("labels.npy", npy("<i8", "False", "1,", &7i64.to_le_bytes()))]),
        );
    let first = |name: &str| files.read(name, "l.npz").map(|found| found.values[0]);
    assert_eq!(first("one.npz"), Ok(1.0));
    assert_eq!(first("usual.npz"), Ok(3.0));
    assert_eq!(first("two.npz:b"), Ok(5.0));
    assert!(
        first("two.npz")
            .unwrap_err()
            .contains("it holds `a`, `b`; choose an array as `two.npz:a`")
    );
    assert!(
        first("two.npz:c")
            .unwrap_err()
            .contains("it holds `a`, `b`")
    );
    assert!(first("model.pt").unwrap_err().contains("`torch.save`"));
    assert!(first("docs.docx").unwrap_err().contains("without an array"));
    assert_eq!(files.read("one.npz", "l.npz").unwrap().labels, ["7"]);
}

#[test]
fn tensors_are_read_in_any_precision() {
    let files = Files::new().with("l.txt", "a\nb\na\n");
    let matrix = tch::Tensor::from_slice(&SINGLES).view([3, 2]);
    let other = tch::Tensor::from_slice(&[1i64]);
    for kind in [
        tch::Kind::Float,
        tch::Kind::Half,
        tch::Kind::BFloat16,
        tch::Kind::Double,
    ] {
        let named = [("other", &other), ("embeddings", &matrix.to_kind(kind))];
        tch::Tensor::write_safetensors(&named, files.path("e")).unwrap();
        assert_eq!(files.read("e", "l.txt").unwrap().values, SINGLES);
    }
    tch::Tensor::write_safetensors(&[("one", &matrix), ("two", &matrix)], files.path("e")).unwrap();
    assert!(
        files
            .read("e", "l.txt")
            .unwrap_err()
            .contains("choose an array")
    );
    let damaged = [9u64.to_le_bytes().as_slice(), b"{\"a\": 3}x"].concat();
    assert!(refused(damaged).contains("damaged .safetensors"));
}

#[test]
fn tables_of_every_separator_and_end_of_line_are_read() {
    let expected = Ok((vec![1.0, 2.5, -3e-2, 4.0], 2));
    for text in [
        "1,2.5\n-3e-2,4\n",
        "\u{feff}1, 2.5\r\n-3e-2 ,4\r\n\r\n  \r\n",
        "1;2.5\n-3e-2;4",
        "1\t2.5\r-3e-2\t4\r",
        "# x y\n1.000e+00 2.500e+00\n-3.0e-02   4.0\n\n\n",
        "\"1\",\"2.5\"\n\"-3e-2\",\"4\"\n",
        "1,2.5,\n-3e-2,4,\n",
        "a,b\n1,2.5\n-3e-2,4",
    ] {
        assert_eq!(values(text, 2), expected, "{text:?}");
    }
    let wide = "1,2.5\n-3e-2,4\n".encode_utf16();
    let wide: Vec<u8> = wide.flat_map(u16::to_le_bytes).collect();
    assert_eq!(
        values([b"\xff\xfe".as_slice(), &wide].concat(), 2),
        expected
    );
}

#[test]
fn headings_and_columns_that_number_the_rows_are_left_out_and_told() {
    let rows = [
        "0.5,0.25,-1.5",
        "1.5,2.5,3.5",
        "-1.0,1e-3,0.0",
        "7.5,8.5,9.5",
        "0.1,0.2,0.3",
    ];
    let plain = rows.join("\n");
    let numbered = |from: usize| -> String {
        let lines = rows.iter().enumerate();
        lines
            .map(|(row, line)| format!("{},{line}\n", from + row))
            .collect()
    };
    let expected = values(&plain, 5);
    assert_eq!(expected.as_ref().map(|(_, width)| *width), Ok(3));
    let heading = |text: &str| LeftOut::Heading {
        text: text.to_owned(),
    };
    for (text, left_out) in [
        (format!("0,1,2\n{plain}"), vec![heading("0,1,2")]),
        (format!("1,2,3\n{plain}"), vec![heading("1,2,3")]),
        (format!("x,y,z\n{plain}"), vec![heading("x,y,z")]),
        (
            format!(",0,1,2\n{}", numbered(0)),
            vec![heading(",0,1,2"), LeftOut::Index],
        ),
        (
            format!("id,0,1,2\n{}", numbered(1)),
            vec![heading("id,0,1,2"), LeftOut::Index],
        ),
        (
            format!("\"\",\"V1\",\"V2\",\"V3\"\n{}", numbered(1)),
            vec![heading("\"\",\"V1\",\"V2\",\"V3\""), LeftOut::Index],
        ),
        (
            format!("V1,V2,V3\n{}", numbered(1)),
            vec![heading("V1,V2,V3"), LeftOut::Index],
        ),
        (numbered(0), vec![LeftOut::Index]),
        (
            numbered(0)
                .replace("\n", "\nx")
                .replacen("0,", "x0,", 1)
                .trim_end_matches('x')
                .to_owned(),
            vec![LeftOut::Index],
        ),
        (numbered(1).replace(',', "\t"), vec![LeftOut::Index]),
    ] {
        let found = embedded("e.csv", &text, 5).unwrap();
        assert_eq!(Ok((found.values, found.width)), expected, "{text}");
        assert_eq!(found.left_out, left_out, "{text}");
    }
    let shuffled = ",x,y,z\n7,0.5,0.25,-1.5\nimage.png,1.5,2.5,3.5\n";
    assert_eq!(values(shuffled, 2), values(rows[..2].join("\n"), 2));
}

#[test]
fn numbers_that_only_look_like_headings_stay() {
    let kept = |text: &str, rows| {
        let found = embedded("e.csv", text, rows).unwrap();
        assert!(found.left_out.is_empty(), "{text}");
    };
    kept("0,1\n1,0\n0.5,0.5\n", 3);
    kept("0,1\n0.5,0.5\n", 2);
    kept("0\n1\n2\n3\n4\n5\n", 6);
    kept("0,3\n1,4\n2,5\n3,6\n4,0\n", 5);
    kept("0,0.5\n1,0.5\n", 2);
    kept("0,1,2,4\n0.5,0.5,0.5,0.5\n", 2);
    let found = embedded("e.csv", "0,1\n0.5,0.5\n0.1,0.2\n", 2).unwrap();
    assert_eq!(found.values, [0.5, 0.5, 0.1, 0.2]);
}

#[test]
fn a_table_that_is_none_is_refused_with_its_line_and_few_words() {
    for (text, message) in [
        ("1,2\n\n3\n", "line 3 has 1 numbers, line 1 has 2"),
        ("1,2\n3,x\n", "line 2 has `x` instead of a number"),
        ("1,x,3\n4,5,6\n", "line 1 has `x` instead of a number"),
        ("x,1\n4,5\n", "line 1 has `x` instead of a number"),
        ("1,2\n3,\n", "line 2 has an empty field"),
        (
            "1;2\n0,5;0,25\n",
            "line 2 has `0,5` instead of a number; decimal commas",
        ),
        ("[[0.1, 0.2]]", "line 1 has `[[0.1` instead of a number"),
        ("a,b\n", "line 1 has `a`"),
        ("\n\n", "it holds no numbers"),
        ("# only\n", "it holds no numbers"),
        ("", "it is empty"),
        (
            "version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
            "git lfs pull",
        ),
        ("<!DOCTYPE html><html></html>", "web page"),
    ] {
        let found = refused(text);
        assert!(found.contains(message), "{text:?}: {found}");
    }
    refused("word ".repeat(1 << 20));
    refused(format!("1,2\n{}", "x".repeat(1 << 21)));
    assert!(refused(b"1,2\n3,\xe9\n").contains("line 2 is not UTF-8"));
}

#[test]
fn formats_that_are_not_read_are_named() {
    for (content, message) in [
        (b"\x89HDF\r\n\x1a\n....".as_slice(), "HDF5"),
        (b"PAR1....", "Parquet"),
        (b"\x80\x04\x95....", "pickle"),
        (b"\x1f\x8b\x08....", "compressed"),
        (b"\x89PNG\r\n", "image"),
        (b"abc\0def", "not a text"),
        (b"PK\x03\x04 cut", "zip archive"),
    ] {
        assert!(refused(content).contains(message), "{message}");
    }
    let folder = Files::new().with("l.txt", "a\n");
    fs::create_dir(folder.path("e")).unwrap();
    assert!(folder.read("e", "l.txt").unwrap_err().contains("folder"));
    assert!(
        folder
            .read("no", "l.txt")
            .unwrap_err()
            .contains("`no`: there is no such file")
    );
    assert!(
        labels_of(Path::new("/dev/zero"), false)
            .unwrap_err()
            .contains("regular")
    );
}

#[test]
fn labels_are_whole_numbers_or_any_text() {
    let texts = |texts: &[&str]| Ok(texts.iter().map(|&text| text.to_owned()).collect());
    let text = "red cat\r\nblå, or so\r\nred cat\r\n\r\n";
    assert_eq!(
        labels_in("l.txt", text, 3),
        texts(&["red cat", "blå, or so", "red cat"])
    );
    assert_eq!(
        labels_in("l.csv", "7\n8\n7\n\n\n", 3),
        texts(&["7", "8", "7"])
    );
    assert_eq!(
        labels_in("l", "7.0\n8.000e+00\n7.0", 3),
        texts(&["7", "8", "7"])
    );
    assert_eq!(
        labels_in("l", "\"a\"\n\"b \"\"\"\n\"a\"", 3),
        texts(&["a", "b \"", "a"])
    );
    let of = |kind, shape, numbers: &[u8]| labels_in("l", npy(kind, "False", shape, numbers), 3);
    assert_eq!(of("|u1", "3,", &[7, 200, 7]), texts(&["7", "200", "7"]));
    assert_eq!(of("|b1", "3, 1", &[1, 0, 1]), texts(&["1", "0", "1"]));
    let large = [u64::MAX, 0, 1].map(u64::to_le_bytes).concat();
    assert_eq!(
        of("<u8", "3,", &large),
        texts(&["18446744073709551615", "0", "1"])
    );
    let floats = |numbers: [f64; 3]| of(">f8", "3,", &numbers.map(f64::to_be_bytes).concat());
    assert_eq!(floats([3.0, -1.0, 0.0]), texts(&["3", "-1", "0"]));
    for wrong in [0.5, f64::NAN, f64::INFINITY, 1e300] {
        assert!(
            floats([3.0, wrong, 0.0]).unwrap_err().contains("label 1,"),
            "{wrong}"
        );
    }
    let singles = |number: f32| {
        of(
            "<f4",
            "3,",
            &[0.0, 1.0, number].map(f32::to_le_bytes).concat(),
        )
    };
    assert_eq!(singles(16_777_215.0), texts(&["0", "1", "16777215"]));
    assert!(
        singles(16_777_216.0).unwrap_err().contains("label 2,"),
        "it may have been 16,777,217"
    );
    let words = ["cat", "blå", ""].map(|word| {
        let mut letters: Vec<char> = word.chars().collect();
        letters.resize(3, '\0');
        letters
    });
    let little: Vec<u8> = words
        .iter()
        .flatten()
        .flat_map(|&letter| u32::from(letter).to_le_bytes())
        .collect();
    let big: Vec<u8> = words
        .iter()
        .flatten()
        .flat_map(|&letter| u32::from(letter).to_be_bytes())
        .collect();
    assert_eq!(of("<U3", "3,", &little), texts(&["cat", "blå", ""]));
    assert_eq!(of(">U3", "3,", &big), texts(&["cat", "blå", ""]));
    assert_eq!(of("|S2", "3,", b"abc\0ab"), texts(&["ab", "c", "ab"]));
    assert!(
        of("<f4", "3, 2", &[0; 24])
            .unwrap_err()
            .contains("[images]")
    );
    assert!(of("|O", "3,", &[0; 24]).unwrap_err().contains("not labels"));
}

#[test]
fn headings_and_indices_beside_labels_are_left_out_where_it_is_certain() {
    let expected = Ok(vec!["0".to_owned(), "0".to_owned(), "5".to_owned()]);
    for (name, text) in [
        ("l.csv", "0\n0\n0\n5\n"),
        ("l.txt", "label\n0\n0\n5\n"),
        ("l.txt", ",0\n0,0\n1,0\n2,5\n"),
        ("l.txt", "id;label\n1;0\n2;0\n3;5\n"),
        ("l.txt", "0\t0\n1\t0\n2\t5\n"),
        ("l.txt", ",class\nx.png,0\ny.png,0\nz.png,5\n"),
    ] {
        assert_eq!(labels_in(name, text, 3), expected, "{text:?}");
    }
    let words = Ok(vec!["cat".to_owned(), "dog".to_owned(), "cat".to_owned()]);
    assert_eq!(labels_in("l.txt", "kind\ncat\ndog\ncat\n", 3), words);
    // One label too many is no heading.
    for text in ["0\n0\n5\n5\n", "cat\ndog\ncat\ndog\n"] {
        let message = labels_in("l.txt", text, 3).unwrap_err();
        assert!(
            message.contains("has 3 rows but `l.txt` has 4 labels"),
            "{message}"
        );
    }
    // A heading instead of a missing label is no label.
    assert!(
        labels_in("l.txt", "label\n0\n5\n", 3)
            .unwrap_err()
            .contains("2 labels below the heading")
    );
    assert!(
        labels_in("l.txt", "a\n\nb\n", 2)
            .unwrap_err()
            .contains("line 2 has no label")
    );
}

#[test]
fn both_files_of_pandas_may_have_a_heading() {
    let files = Files::new()
        .with("e.csv", "0,1,2\n0.5,0.5,0.5\n0.1,0.2,0.3\n")
        .with("narrow.csv", "0,1\n0.5,0.5\n0.1,0.2\n")
        .with("l.csv", "0\n0\n1\n");
    let found = files.read("e.csv", "l.csv").unwrap();
    assert_eq!((found.width, found.labels.len()), (3, 2));
    assert!(!found.left_out.is_empty() && !found.left_out_of_labels.is_empty());
    // Two columns are too few to tell: they are measured, with a warning.
    let found = files.read("narrow.csv", "l.csv").unwrap();
    assert_eq!((found.labels.len(), found.may_have_heading), (3, true));
}
