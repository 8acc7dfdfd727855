//! A labelled state tree and its witnesses
//! (IC interface specification, "The system state tree" and "Certification").

use std::{collections::BTreeMap, sync::Arc};

use ic_certification::{HashTree, HashTreeNode, empty, fork, labeled, leaf, pruned};

/// A label of the tree.
pub(crate) type Label = Vec<u8>;
/// A path from the root of the tree.
pub(crate) type Path = Vec<Label>;

#[derive(Clone)]
pub(crate) enum StateTree {
    /// A leaf may be megabytes: it is shared, and hashed once.
    Leaf {
        value: Arc<[u8]>,
        digest: [u8; 32],
    },
    Branch(BTreeMap<Label, StateTree>),
}

impl StateTree {
    pub(crate) fn leaf(value: impl Into<Vec<u8>>) -> Self {
        let value = value.into();
        let digest = leaf(value.clone()).digest();
        Self::Leaf {
            value: value.into(),
            digest,
        }
    }

    pub(crate) fn branch<L: Into<Label>>(children: impl IntoIterator<Item = (L, Self)>) -> Self {
        Self::Branch(children.into_iter().map(|(l, t)| (l.into(), t)).collect())
    }

    /// The hash tree that reveals `paths`, or proves that they are absent, and prunes the rest.
    /// A path that ends at a branch reveals the whole branch.
    pub(crate) fn witness(&self, paths: &[Path]) -> HashTree {
        let paths: Vec<&[Label]> = paths.iter().map(Vec::as_slice).collect();
        self.reveal(&paths)
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        self.reveal(&[]).digest()
    }

    fn reveal(&self, paths: &[&[Label]]) -> HashTree {
        let everything = paths.iter().any(|path| path.is_empty());
        let children = match self {
            Self::Leaf { value, .. } if everything => return leaf(value.to_vec()),
            Self::Leaf { digest, .. } => return pruned(*digest),
            Self::Branch(children) => children,
        };
        let neighbours = neighbours_of_absent(children, paths);
        let nodes: Vec<HashTree> = children
            .iter()
            .map(|(name, child)| {
                let below: Vec<&[Label]> = if everything {
                    vec![&[]]
                } else {
                    paths
                        .iter()
                        .filter(|path| path.first() == Some(name))
                        .map(|path| &path[1..])
                        .collect()
                };
                let shown = !below.is_empty() || neighbours.contains(&name);
                let node = labeled(name.clone(), child.reveal(&below));
                if shown { node } else { pruned(node.digest()) }
            })
            .collect();
        balanced(nodes)
    }
}

/// The labels left and right of every requested label that does not exist: showing both proves
/// the gap between them.
fn neighbours_of_absent<'a>(
    children: &'a BTreeMap<Label, StateTree>,
    paths: &[&[Label]],
) -> Vec<&'a Label> {
    paths
        .iter()
        .filter_map(|path| path.first())
        .filter(|name| !children.contains_key(*name))
        .flat_map(|name| {
            let left = children.range::<Label, _>(..name).next_back();
            let right = children.range::<Label, _>(name..).next();
            [left, right]
        })
        .flatten()
        .map(|(name, _)| name)
        .collect()
}

/// Joins nodes that stand in label order into a balanced tree of forks. A fork of two pruned
/// halves is pruned itself.
fn balanced(mut nodes: Vec<HashTree>) -> HashTree {
    match nodes.len() {
        0 => empty(),
        1 => nodes.remove(0),
        n => {
            let right = balanced(nodes.split_off(n / 2));
            let left = balanced(nodes);
            let hidden = is_pruned(&left) && is_pruned(&right);
            let joined = fork(left, right);
            if hidden {
                pruned(joined.digest())
            } else {
                joined
            }
        }
    }
}

fn is_pruned(tree: &HashTree) -> bool {
    matches!(tree.as_ref(), HashTreeNode::Pruned(_))
}

#[cfg(test)]
mod tests {
    use ic_certification::LookupResult;

    use super::*;

    fn sample() -> StateTree {
        StateTree::branch([
            ("a", StateTree::leaf("1")),
            (
                "c",
                StateTree::branch([
                    ("x", StateTree::leaf("2")),
                    ("y", StateTree::leaf("3")),
                    ("z", StateTree::leaf("4")),
                ]),
            ),
            ("e", StateTree::leaf("5")),
            ("g", StateTree::leaf("6")),
        ])
    }

    fn path(labels: &[&str]) -> Path {
        labels.iter().map(|l| l.as_bytes().to_vec()).collect()
    }

    #[test]
    fn a_witness_has_the_digest_of_the_whole_tree() {
        let tree = sample();
        for paths in [
            vec![],
            vec![path(&["a"])],
            vec![path(&["c", "y"]), path(&["g"])],
            vec![path(&["d"])],
            vec![path(&[])],
        ] {
            assert_eq!(tree.witness(&paths).digest(), tree.digest());
        }
    }

    #[test]
    fn a_witness_reveals_what_was_asked_and_nothing_else() {
        let witness = sample().witness(&[path(&["c", "y"])]);
        assert_eq!(
            witness.lookup_path(["c", "y"]),
            LookupResult::Found(b"3".as_slice())
        );
        assert_eq!(witness.lookup_path(["c", "z"]), LookupResult::Unknown);
        assert_eq!(witness.lookup_path(["g"]), LookupResult::Unknown);
    }

    #[test]
    fn absence_is_proven_at_every_position() {
        let tree = sample();
        for name in ["0", "b", "d", "f", "h"] {
            let witness = tree.witness(&[path(&[name])]);
            assert_eq!(witness.lookup_path([name]), LookupResult::Absent, "{name}");
        }
        let witness = tree.witness(&[path(&["c", "xx"])]);
        assert_eq!(witness.lookup_path(["c", "xx"]), LookupResult::Absent);
    }

    #[test]
    fn a_path_to_a_branch_reveals_the_branch() {
        let witness = sample().witness(&[path(&["c"])]);
        assert_eq!(
            witness.lookup_path(["c", "z"]),
            LookupResult::Found(b"4".as_slice())
        );
    }
}
