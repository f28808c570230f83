//! User and group number maps, as in user_namespaces(7).

/// One line of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// First id inside the container (in the archive).
    pub inside: u32,
    /// First id outside (on disk).
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// A map of ids; the empty map is the identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap(pub Vec<IdRange>);

impl IdMap {
    /// The id on disk of an id in the archive, `None` when the map has no line for it.
    pub fn to_outside(&self, id: u32) -> Option<u32> {
        self.translate(id, |range| (range.inside, range.outside))
    }

    /// The id in the archive of an id on disk, `None` when the map has no line for it.
    pub fn to_inside(&self, id: u32) -> Option<u32> {
        self.translate(id, |range| (range.outside, range.inside))
    }

    fn translate(&self, id: u32, ends: impl Fn(&IdRange) -> (u32, u32)) -> Option<u32> {
        if self.0.is_empty() {
            return Some(id);
        }
        self.0.iter().find_map(|range| {
            let (from, to) = ends(range);
            let distance = id.checked_sub(from)?;
            (distance < range.count)
                .then(|| to.checked_add(distance))
                .flatten()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_map_changes_nothing() {
        assert_eq!(IdMap::default().to_outside(7), Some(7));
        assert_eq!(IdMap::default().to_inside(u32::MAX), Some(u32::MAX));
    }

    #[test]
    fn ids_are_translated_both_ways_and_unmapped_ones_are_none() {
        let range = IdRange {
            inside: 0,
            outside: 100_000,
            count: 65_536,
        };
        let map = IdMap(vec![range]);
        assert_eq!(map.to_outside(1000), Some(101_000));
        assert_eq!(map.to_inside(101_000), Some(1000));
        assert_eq!(map.to_outside(65_536), None);
        assert_eq!(map.to_inside(99_999), None);
    }
}
