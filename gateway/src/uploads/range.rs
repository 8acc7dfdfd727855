use http::{HeaderMap, header};

/// The part of an upload that a request carries (RFC 9110 section 14.4; section 14.5 on its use with PUT).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// First byte.
    pub(super) start: u64,
    /// Byte behind the last one.
    pub(super) end: u64,
}

/// The header is not `bytes FIRST-LAST/SIZE` with the upload's own size.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadRange;

impl Part {
    /// Reads Content-Range; without one a request carries everything.
    pub(super) fn of(headers: &HeaderMap, size: u64) -> Result<Self, BadRange> {
        let mut values = headers.get_all(header::CONTENT_RANGE).iter();
        let Some(value) = values.next() else {
            return Ok(Self {
                start: 0,
                end: size,
            });
        };
        if values.next().is_some() {
            return Err(BadRange);
        }
        value
            .to_str()
            .ok()
            .and_then(|text| Self::parse(text, size))
            .ok_or(BadRange)
    }

    fn parse(text: &str, size: u64) -> Option<Self> {
        let (unit, range) = text.trim().split_once(' ')?;
        let (range, total) = range.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let number = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u64>().ok()).flatten()
        };
        let (start, end) = (number(first)?, number(last)?.checked_add(1)?);
        let total_fits = total == "*" || number(total) == Some(size);
        let fits = unit.eq_ignore_ascii_case("bytes") && total_fits && start < end && end <= size;
        fits.then_some(Self { start, end })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(value: &str) -> Result<Part, BadRange> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_RANGE, value.parse().unwrap());
        Part::of(&headers, 100)
    }

    #[test]
    fn a_range_lies_within_the_upload() {
        let part = |start, end| Ok(Part { start, end });
        assert_eq!(Part::of(&HeaderMap::new(), 100), part(0, 100));
        assert_eq!(read("bytes 0-9/100"), part(0, 10));
        assert_eq!(read("bytes 40-99/*"), part(40, 100));
        for wrong in [
            "bytes 0-100/100",
            "bytes 0-9/99",
            "bytes 9-8/100",
            "bytes */100",
            "bytes +1-9/100",
            "bytes 1-18446744073709551615/100",
            "items 0-9/100",
            "0-9/100",
            "",
        ] {
            assert_eq!(read(wrong), Err(BadRange), "{wrong}");
        }
        let mut twice = HeaderMap::new();
        for value in ["bytes 0-9/100", "bytes 10-19/100"] {
            twice.append(header::CONTENT_RANGE, value.parse().unwrap());
        }
        assert_eq!(Part::of(&twice, 100), Err(BadRange));
    }

    proptest! {
        #[test]
        fn any_header_is_a_part_of_the_upload_or_refused(text in "bytes [0-9]{0,22}-[0-9]{0,22}/[0-9*]{0,22}") {
            if let Ok(part) = read(&text) {
                prop_assert!(part.start < part.end && part.end <= 100);
            }
        }
    }
}
