//! Rules for leaving a field out of a reply, as Go's `omitempty` has them.

use std::collections::BTreeMap;

/// True for the zero value of the type: `""`, `0`, `false`, `[]`, `{}`, `None`.
pub fn zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// True for a list that is absent or empty.
pub fn list<T>(value: &Option<Vec<T>>) -> bool {
    value.as_ref().is_none_or(Vec::is_empty)
}

/// True for a map that is absent or empty.
pub fn map<K, V>(value: &Option<BTreeMap<K, V>>) -> bool {
    value.as_ref().is_none_or(BTreeMap::is_empty)
}
