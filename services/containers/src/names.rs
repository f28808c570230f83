//! Generated container names: an adjective and somebody whom the field of computing owes something.

use rand::RngExt;

const MOODS: &[&str] = &[
    "able", "agile", "amber", "ample", "apt", "astute", "avid", "awake", "blithe", "bold", "brave", "breezy",
    "bright", "brisk", "calm", "candid", "cheery", "clear", "clever", "cosy", "crisp", "curious", "daring",
    "deft", "eager", "earnest", "easy", "elated", "exact", "fair", "fleet", "fluent", "fond", "frank",
    "fresh", "gallant", "gentle", "gifted", "glad", "golden", "grand", "happy", "hardy", "hearty", "honest",
    "jaunty", "jolly", "jovial", "keen", "kind", "lively", "loyal", "lucid", "lucky", "mellow", "merry",
    "mild", "modest", "neat", "nifty", "nimble", "noble", "open", "patient", "placid", "plucky", "polite",
    "proud", "quick", "quiet", "ready", "rosy", "serene", "sharp", "sincere", "sleek", "smooth", "snug",
    "sober", "solid", "spry", "steady", "stoic", "sturdy", "sunny", "swift", "tidy", "trusty", "upbeat",
    "vivid", "warm", "wise", "witty", "zesty",
];

const PEOPLE: &[&str] = &[
    "aho",
    "allen",
    "alonzo",
    "backus",
    "bartik",
    "bell",
    "bernerslee",
    "boole",
    "borg",
    "brooks",
    "carmack",
    "cerf",
    "cerny",
    "clarke",
    "cocke",
    "codd",
    "cox",
    "cray",
    "dahl",
    "diffie",
    "dijkstra",
    "eckert",
    "engelbart",
    "estrin",
    "feinler",
    "floyd",
    "goldberg",
    "goldwasser",
    "gosling",
    "granville",
    "gray",
    "hamilton",
    "hamming",
    "hellman",
    "hoare",
    "holberton",
    "hopper",
    "ichbiah",
    "iverson",
    "jennings",
    "johnson",
    "kahan",
    "kahn",
    "karnaugh",
    "kay",
    "kernighan",
    "kilburn",
    "knuth",
    "kurtz",
    "lamarr",
    "lamport",
    "lampson",
    "liskov",
    "lovelace",
    "mauchly",
    "mccarthy",
    "mcilroy",
    "merkle",
    "metcalfe",
    "micali",
    "milner",
    "minsky",
    "moore",
    "naur",
    "newell",
    "nygaard",
    "papert",
    "patterson",
    "perlis",
    "perlman",
    "pike",
    "postel",
    "rabin",
    "reynolds",
    "ritchie",
    "rivest",
    "scott",
    "shamir",
    "shannon",
    "snyder",
    "stallman",
    "stearns",
    "sutherland",
    "tarjan",
    "thompson",
    "torvalds",
    "turing",
    "ullman",
    "valiant",
    "wall",
    "wilkes",
    "wilkinson",
    "wing",
    "wirth",
    "yao",
    "zuse",
];

/// Proposes a name such as `quiet_hopper`; from the fourth attempt on a digit is added, so that a caller who
/// retries while names collide will soon find a free one.
pub(crate) fn generate(attempt: u32) -> String {
    let mut rng = rand::rng();
    let mood = MOODS[rng.random_range(0..MOODS.len())];
    let person = PEOPLE[rng.random_range(0..PEOPLE.len())];
    if attempt < 3 {
        format!("{mood}_{person}")
    } else {
        format!(
            "{mood}_{person}{}",
            rng.random_range(0..10_u32.pow(attempt.min(6)))
        )
    }
}

/// Whether `name` (without its leading slash) may name a container: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub(crate) fn is_valid(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.len() >= 2
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_generated_name_is_a_valid_name() {
        for attempt in 0..20 {
            let name = generate(attempt);
            assert!(is_valid(&name), "{name}");
        }
    }

    #[test]
    fn names_follow_the_rule_of_the_engine() {
        for good in ["ab", "a1", "web.1", "x_y-z", "0day"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "a", "-a", "_ab", "a/b", "a b", "é1", "a\n"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
