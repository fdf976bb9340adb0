//! The table of images of a data set, `listing.csv`: a row for each image.
//!
//! `sweep data add` writes it, trainers read their images from it, and it is a part of the fingerprint of the data set.
//! Values are read exactly as they were written: blanks are kept, and no word has a meaning of its own. An empty cell
//! is an absent value.

use std::{fmt, io};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::Half;

/// An image in the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedImage {
    /// The path of its file: relative to the folder of the table, or absolute.
    pub path: String,
    /// The number of its class among those of both halves.
    pub label: u32,
    /// The name of its class.
    pub class_name: String,
    /// Its half.
    pub split: Half,
    /// True if it is a query. Absent for images to train on.
    #[serde(default)]
    pub is_query: Option<bool>,
    /// True if it is in the gallery. Absent for images to train on.
    #[serde(default)]
    pub is_gallery: Option<bool>,
    /// The super-class of its class.
    #[serde(default)]
    pub category: Option<String>,
    /// The left side of its bounding box.
    #[serde(default)]
    pub x_1: Option<u32>,
    /// The top of its bounding box.
    #[serde(default)]
    pub y_1: Option<u32>,
    /// The first column right of its bounding box.
    #[serde(default)]
    pub x_2: Option<u32>,
    /// The first row below its bounding box.
    #[serde(default)]
    pub y_2: Option<u32>,
    /// The camera that took it, or the sequence that it is from. The table has this column if an image has one.
    #[serde(default, skip_serializing)]
    pub camera: Option<String>,
    /// The wider super-classes of its class, the narrowest first. The table has this column if an image has one.
    #[serde(default, skip_serializing, deserialize_with = "list")]
    pub wider: Vec<String>,
}

/// Reads a list of texts, written as JSON.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "" => Ok(Vec::new()),
        text => serde_json::from_str(text).map_err(D::Error::custom),
    }
}

/// The column of a table in which classes have wider super-classes, after all the others but that of cameras.
#[derive(Serialize)]
struct WiderColumn {
    wider: Option<String>,
}

/// The column of a table in which images have cameras, after all the others.
#[derive(Serialize)]
struct CameraColumn<'a> {
    camera: Option<&'a str>,
}

impl ListedImage {
    /// Returns its bounding box: left, top, right and bottom.
    pub fn bounding_box(&self) -> Option<[u32; 4]> {
        Some([self.x_1?, self.y_1?, self.x_2?, self.y_2?])
    }
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRow {
    /// The image.
    pub image: ListedImage,
    /// The text of all columns but the first, which is the path: what the fingerprint is computed from.
    pub description: String,
}

/// Why a table of images cannot be read.
#[derive(Debug)]
pub enum ListingFault {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// A row is not as it was written.
    Damaged {
        /// The line of the row, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
}

impl fmt::Display for ListingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListingFault::Unreadable(error) => error.fmt(f),
            ListingFault::Damaged { line, why } => write!(
                f,
                "line {line}: the table of images is damaged ({why}); add the data set again"
            ),
        }
    }
}

impl std::error::Error for ListingFault {}

impl From<csv::Error> for ListingFault {
    fn from(error: csv::Error) -> ListingFault {
        let line = error.position().map_or(1, csv::Position::line);
        let why = match error.into_kind() {
            csv::ErrorKind::Io(error) => return ListingFault::Unreadable(error),
            csv::ErrorKind::Utf8 { .. } => "a cell is not valid UTF-8".to_owned(),
            csv::ErrorKind::UnequalLengths {
                expected_len, len, ..
            } => format!("{len} cells instead of {expected_len}"),
            csv::ErrorKind::Deserialize { err, .. } => err.kind().to_string(),
            _ => "it is not a table".to_owned(),
        };
        ListingFault::Damaged { line, why }
    }
}

/// Returns the rows of a table.
///
/// # Errors
/// If a row is not as it was written.
pub fn listed_rows(text: &[u8]) -> Result<Vec<ListedRow>, ListingFault> {
    let mut reader = csv::Reader::from_reader(text);
    let columns = reader.headers()?.clone();
    let row = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record?;
        let cells: Vec<&str> = record.iter().skip(1).collect();
        Ok(ListedRow {
            image: record.deserialize(Some(&columns))?,
            description: cells.join("\0"),
        })
    };
    reader.records().map(row).collect()
}

/// Returns the text of a table of some images.
///
/// # Errors
/// If there is no memory for it.
pub fn listing_text(images: &[ListedImage]) -> io::Result<Vec<u8>> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let with_wider = images.iter().any(|image| !image.wider.is_empty());
    let with_cameras = images.iter().any(|image| image.camera.is_some());
    for image in images {
        let (wider, camera) = (wider_column(image)?, camera_column(image));
        match (with_wider, with_cameras) {
            (false, false) => table.serialize(image)?,
            (false, true) => table.serialize((image, camera))?,
            (true, false) => table.serialize((image, wider))?,
            (true, true) => table.serialize((image, wider, camera))?,
        }
    }
    table.into_inner().map_err(csv::IntoInnerError::into_error)
}

fn wider_column(image: &ListedImage) -> io::Result<WiderColumn> {
    let wider = match image.wider.is_empty() {
        true => None,
        false => Some(serde_json::to_string(&image.wider)?),
    };
    Ok(WiderColumn { wider })
}

fn camera_column(image: &ListedImage) -> CameraColumn<'_> {
    CameraColumn {
        camera: image.camera.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(path: &str, class_name: &str, category: Option<&str>) -> ListedImage {
        ListedImage {
            path: path.to_owned(),
            label: 7,
            class_name: class_name.to_owned(),
            split: Half::Test,
            is_query: Some(true),
            is_gallery: Some(false),
            category: category.map(str::to_owned),
            x_1: Some(0),
            y_1: Some(1),
            x_2: Some(2),
            y_2: Some(u32::MAX),
            camera: None,
            wider: Vec::new(),
        }
    }

    /// Texts that a reader of tables may take for something else, alone and in pairs.
    #[test]
    fn every_text_is_read_back_exactly() {
        let parts = [
            "nan", "NaN", "null", "None", "true", "1.0", " ", "\t", "\"", "'", ",", ";", "\n",
            "\r", "\r\n", "\\", "\u{feff}", "\u{85}", "#", "=", "é", "鳥", "a",
        ];
        let texts = parts
            .iter()
            .flat_map(|one| parts.iter().map(move |other| format!("{one}{other}")))
            .chain(parts.iter().map(|part| (*part).to_owned()));
        let images: Vec<ListedImage> = texts
            .map(|text| image(&format!("{text}.jpg"), &text, Some(&text)))
            .collect();
        let rows = listed_rows(&listing_text(&images).unwrap()).unwrap();
        assert_eq!(rows.len(), images.len());
        for (row, image) in rows.iter().zip(&images) {
            assert_eq!(row.image, *image);
        }
    }

    #[test]
    fn the_text_of_a_row_never_changes() {
        let training = ListedImage {
            split: Half::Train,
            is_query: None,
            is_gallery: None,
            x_1: None,
            ..image("a/1.jpg", "A", None)
        };
        let text = listing_text(&[training.clone(), image("b, c.jpg", "B", Some("C"))]).unwrap();
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "path,label,class_name,split,is_query,is_gallery,category,x_1,y_1,x_2,y_2\n\
             a/1.jpg,7,A,train,,,,,1,2,4294967295\n\
             \"b, c.jpg\",7,B,test,true,false,C,0,1,2,4294967295\n"
        );
        assert_eq!(training.bounding_box(), None);
    }

    #[test]
    fn cameras_are_a_column_of_their_own_if_there_are_any() {
        let seen = ListedImage {
            camera: Some("c, 1".to_owned()),
            ..image("a/1.jpg", "A", None)
        };
        let images = [image("a/0.jpg", "A", None), seen];
        let text = listing_text(&images).unwrap();
        let rows = listed_rows(&text).unwrap();
        let read: Vec<ListedImage> = rows.into_iter().map(|row| row.image).collect();
        assert_eq!(read, images);
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "path,label,class_name,split,is_query,is_gallery,category,x_1,y_1,x_2,y_2,camera\n\
             a/0.jpg,7,A,test,true,false,,0,1,2,4294967295,\n\
             a/1.jpg,7,A,test,true,false,,0,1,2,4294967295,\"c, 1\"\n"
        );
    }

    #[test]
    fn wider_super_classes_are_one_column_before_that_of_cameras() {
        let wide = ListedImage {
            wider: vec!["a \"b\"".to_owned(), "c, d".to_owned()],
            ..image("a/1.jpg", "A", Some("C"))
        };
        let seen = ListedImage {
            camera: Some("1".to_owned()),
            ..image("a/2.jpg", "B", None)
        };
        for images in [vec![wide.clone()], vec![wide, seen]] {
            let rows = listed_rows(&listing_text(&images).unwrap()).unwrap();
            let read: Vec<ListedImage> = rows.into_iter().map(|row| row.image).collect();
            assert_eq!(read, images);
        }
    }

    #[test]
    fn the_description_is_the_text_of_all_columns_but_the_path() {
        let text = b"path,label,class_name,split,_note\nx.jpg,0, a ,train,\"y\"\"z\"\n";
        let rows = listed_rows(text).unwrap();
        assert_eq!(rows[0].description, "0\0 a \0train\0y\"z");
    }

    #[test]
    fn a_damaged_row_is_named_with_its_line() {
        let says = |row: &str, what: &str| {
            let text = format!("path,label,class_name,split\nx.jpg,0,a,train\n{row}\n");
            let message = listed_rows(text.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(what), "{message}");
            assert!(message.starts_with("line 3: "), "{message}");
        };
        says("y.jpg,0,a", "3 cells instead of 4");
        says("y.jpg,-1,a,train", "invalid digit");
        says("y.jpg,1,a,dev", "dev");
    }
}
