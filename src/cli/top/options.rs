//! The values of the options.

use std::str::FromStr;

use clap::ValueEnum;

/// What the lower part shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tab {
    /// Requests, hit ratio and times of each route
    Routes,
    /// Why requests went to the API, and what to change
    Misses,
    /// The servers of the APIs
    Upstreams,
    /// Memory, and what is stored
    Storage,
    /// The URLs that are asked for most
    Urls,
}

/// Columns and rows of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub columns: u16,
    pub rows: u16,
}

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let sides = text.split_once('x');
        let sides =
            sides.and_then(|(columns, rows)| Some((columns.parse().ok()?, rows.parse().ok()?)));
        match sides {
            Some((columns @ 20..=500, rows @ 8..=200)) => Ok(Self { columns, rows }),
            _ => Err("is not a size such as 100x30, of at least 20x8 and at most 500x200"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_columns_and_rows() {
        let size = |text: &str| text.parse::<Size>().ok();
        assert_eq!(
            size("80x24"),
            Some(Size {
                columns: 80,
                rows: 24
            })
        );
        for text in ["80", "x", "80x", "19x24", "80x7", "501x24", "80x24x1"] {
            assert_eq!(size(text), None, "{text}");
        }
    }
}
