//! What somebody may have meant who wrote a name that is none.

/// Longest name that is compared, in bytes.
const LONGEST: usize = 64;
/// Names that are compared at most.
const COMPARED: usize = 2_000;

/// The name that differs least from the wanted one, whatever its case, if it differs little: one character in three,
/// and three at most.
pub(crate) fn nearest<'a>(
    wanted: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if wanted.len() > LONGEST {
        return None;
    }
    let wanted = wanted.to_ascii_lowercase();
    let length = wanted.chars().count();
    let allowed = (length / 3).clamp(1, 3);
    names
        .into_iter()
        .filter(|name| name.len() <= LONGEST)
        // Names are at least as far apart as their lengths.
        .filter(|name| name.chars().count().abs_diff(length) <= allowed)
        .take(COMPARED)
        .map(|name| (distance(&wanted, &name.to_ascii_lowercase()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein distance in characters.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
