//! Sizes in units that people read.

/// Returns a size in the largest unit that it reaches: `9.4 MB`, `13.6 GB`.
pub fn bytes_in_words(bytes: u64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let bytes = bytes as f64;
    match UNITS.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_the_largest_unit_of_which_there_is_one() {
        for (bytes, words) in [
            (999, "999 bytes"),
            (60_000, "60.0 kB"),
            (9_400_000, "9.4 MB"),
            (13_623_500_000, "13.6 GB"),
            (2_500_000_000_000, "2.5 TB"),
        ] {
            assert_eq!(bytes_in_words(bytes), words);
        }
    }
}
