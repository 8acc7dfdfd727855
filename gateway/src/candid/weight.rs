//! What a parsed interface occupies, so that caches of them are bounded in memory and not in text.
//!
//! A type costs up to fifty times the text that declares it. The figures follow the layout of the types and are
//! never less than what a general purpose allocator sets aside.

use super::interface::{Interface, Method, Ty};

/// What a cache adds to an entry for its own books, in bytes: the shared key and value, and two queue nodes.
pub const ENTRY: usize = 512;

/// An entry's weight in a cache that keeps nothing heavier than `largest` bytes. What is heavier gets the greatest
/// weight there is, which is more than any cache of this process has room for: it is never kept.
pub fn of_entry(bytes: usize, largest: usize) -> u32 {
    if bytes > largest {
        return u32::MAX;
    }
    u32::try_from(bytes.saturating_add(ENTRY)).unwrap_or(u32::MAX)
}

/// Bytes that one allocation takes: a header before it, in steps of sixteen.
pub fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        _ => (bytes + 8).next_multiple_of(16).max(32),
    }
}

fn list<T>(items: &[T], weight: impl Fn(&T) -> usize) -> usize {
    allocated(size_of_val(items)) + items.iter().map(weight).sum::<usize>()
}

impl Interface {
    /// Bytes that this interface occupies, its text included.
    pub(super) fn weigh(&self) -> usize {
        // Nodes of a tree are at least half full.
        let node = 2 * size_of::<(String, Method)>();
        let methods: usize = self
            .methods
            .iter()
            .map(|(name, method)| node + allocated(name.len()) + method.weigh())
            .sum();
        let named = list(&self.named, |(name, ty)| allocated(name.len()) + ty.weigh());
        size_of::<Self>() + allocated(self.text().len()) + methods + named
    }
}

impl Method {
    fn weigh(&self) -> usize {
        list(&self.args, Ty::weigh) + list(&self.rets, Ty::weigh)
    }
}

impl Ty {
    /// What hangs below a type. Depth is that of the text, which is limited.
    fn weigh(&self) -> usize {
        match self {
            Ty::Opt(inner) | Ty::Vec(inner) => allocated(size_of::<Ty>()) + inner.weigh(),
            Ty::Record(fields) | Ty::Variant(fields) => list(fields, |(label, ty)| {
                let name = match label {
                    candid::types::Label::Named(name) => allocated(name.len()),
                    _ => 0,
                };
                name + ty.weigh()
            }),
            Ty::Func(modes, args, rets) => {
                list(modes, |_| 0) + list(args, Ty::weigh) + list(rets, Ty::weigh)
            }
            Ty::Service(methods) => list(methods, |(name, ty)| allocated(name.len()) + ty.weigh()),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn parse(text: &str) -> Interface {
        Interface::parse(text.into()).await.unwrap()
    }

    fn repeated(count: usize, item: impl Fn(usize) -> String) -> String {
        (0..count).map(item).collect()
    }

    #[tokio::test]
    async fn the_weight_is_never_less_than_what_the_declared_types_need() {
        let ty = size_of::<Ty>();
        let field = size_of::<(candid::types::Label, Ty)>();
        let tuple = repeated(20_000, |_| "nat;".to_owned());
        let named = repeated(5_000, |n| format!("field_{n}:opt vec nat;"));
        let methods = repeated(5_000, |n| format!("method_{n}:(nat,nat)->(nat);"));
        for (text, needed) in [
            (
                format!("type t = record {{{tuple}}}; service : {{}}"),
                20_000 * field,
            ),
            (
                format!("type t = variant {{{named}}}; service : {{}}"),
                // The field, its name, and two boxes.
                5_000 * (field + "field_".len() + 2 * ty),
            ),
            (
                format!("service : {{{methods}}}"),
                5_000 * (size_of::<(String, Method)>() + "method_".len() + 3 * ty),
            ),
        ] {
            let interface = parse(&text).await;
            let weight = interface.weight();
            assert!(weight > needed + text.len(), "{weight} {needed}");
            assert!(weight < 3 * (needed + text.len()), "{weight} {needed}");
        }
    }

    #[test]
    fn what_is_heavier_than_its_share_has_no_room_anywhere() {
        assert_eq!(of_entry(1_000, 1_000) as usize, 1_000 + ENTRY);
        assert_eq!(of_entry(1_001, 1_000), u32::MAX);
        assert_eq!((allocated(0), allocated(1), allocated(100)), (0, 32, 112));
    }
}
