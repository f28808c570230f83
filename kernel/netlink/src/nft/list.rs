//! What is in the ruleset, of ours and of others.

use rustix::io::Errno;

use super::{Family, Nft, SUBSYSTEM, header};
use crate::error::Error;
use crate::message::{self, attributes, be_number, find, text};

const GETTABLE: u16 = SUBSYSTEM | 1;
const GETCHAIN: u16 = SUBSYSTEM | 4;
const GETRULE: u16 = SUBSYSTEM | 7;
const GETSETELEM: u16 = SUBSYSTEM | 13;

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its table's family.
    pub family: Family,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// The hook's number (2 is forward) and priority, of a base chain.
    pub hook: Option<(u32, i32)>,
    /// Whether a packet that no rule decided is dropped.
    pub drops: bool,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its handle.
    pub handle: u64,
    /// Its chain.
    pub chain: String,
    /// Its comment.
    pub comment: Option<String>,
    /// Whether it does nothing but return.
    pub bare_return: bool,
}

impl Nft {
    /// Whether a table exists.
    pub fn has_table(&mut self, family: Family, name: &str) -> Result<bool, Error> {
        let found = self.socket.get(
            GETTABLE,
            || format!("look up table {name}"),
            |b| {
                b.fixed(&header(family.number(), 0)).string(1, name);
            },
            |_| Some(()),
        );
        match found {
            Ok(()) => Ok(true),
            Err(e) if e.is(Errno::NOENT) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// The names of all tables of all families.
    pub fn tables(&mut self) -> Result<Vec<(Family, String)>, Error> {
        self.socket.dump(
            GETTABLE,
            || "list tables".to_owned(),
            |b| {
                b.fixed(&header(0, 0));
            },
            |payload| {
                Some((
                    Family::from_number(*payload.first()?),
                    text(find(payload.get(4..)?, 1)?),
                ))
            },
        )
    }

    /// All chains of all tables.
    pub fn chains(&mut self) -> Result<Vec<Chain>, Error> {
        self.socket.dump(
            GETCHAIN,
            || "list chains".to_owned(),
            |b| {
                b.fixed(&header(0, 0));
            },
            |payload| {
                let rest = payload.get(4..)?;
                let hook = find(rest, 4)
                    .and_then(|h| Some((be_number(find(h, 1)?)?, be_number(find(h, 2)?)?.cast_signed())));
                Some(Chain {
                    family: Family::from_number(*payload.first()?),
                    table: text(find(rest, 1)?),
                    name: text(find(rest, 3)?),
                    hook,
                    drops: find(rest, 5).and_then(be_number) == Some(0),
                })
            },
        )
    }

    /// The rules of a table, or of one chain of it, in their order; none when there is no such table or chain.
    pub fn rules(&mut self, family: Family, table: &str, chain: Option<&str>) -> Result<Vec<Rule>, Error> {
        let found = self.socket.dump(
            GETRULE,
            || format!("list rules of table {table}"),
            |b| {
                b.fixed(&header(family.number(), 0)).string(1, table);
                if let Some(chain) = chain {
                    b.string(2, chain);
                }
            },
            |payload| {
                let rest = payload.get(4..)?;
                let (of_table, of_chain) = (text(find(rest, 1)?), text(find(rest, 2)?));
                // Old kernels filter only in part.
                let wanted = of_table == table && chain.is_none_or(|c| c == of_chain);
                wanted.then_some(Rule {
                    handle: u64::from_be_bytes(find(rest, 3)?.try_into().ok()?),
                    chain: of_chain,
                    comment: find(rest, 7).and_then(comment),
                    bare_return: find(rest, 4).is_some_and(bare_return),
                })
            },
        );
        match found {
            Err(e) if e.is(Errno::NOENT) => Ok(Vec::new()),
            other => other,
        }
    }

    /// The keys in a set or map.
    pub fn elements(&mut self, family: Family, table: &str, set: &str) -> Result<Vec<Vec<u8>>, Error> {
        let lists = self.socket.dump(
            GETSETELEM,
            || format!("list elements of {set}"),
            |b| {
                b.fixed(&header(family.number(), 0))
                    .string(1, table)
                    .string(2, set);
            },
            |payload| {
                let elements = find(payload.get(4..)?, 3)?;
                let keys = attributes(elements).filter_map(|(_, e)| Some(find(find(e, 1)?, 1)?.to_vec()));
                Some(keys.collect::<Vec<_>>())
            },
        )?;
        Ok(lists.into_iter().flatten().collect())
    }
}

/// The text in a rule's user data: entries of type, length, bytes; type 0 is the comment.
fn comment(mut data: &[u8]) -> Option<String> {
    while let [kind, len, rest @ ..] = data {
        let value = rest.get(..usize::from(*len))?;
        if *kind == 0 {
            return Some(text(value));
        }
        data = &rest[usize::from(*len)..];
    }
    None
}

/// Whether the expressions are `counter return` or `return`.
fn bare_return(expressions: &[u8]) -> bool {
    let mut returns = false;
    for (_, expression) in attributes(expressions) {
        let data = find(expression, 2).unwrap_or_default();
        match find(expression, 1).map(message::text).as_deref() {
            Some("counter") => {}
            Some("immediate") => {
                let verdict = find(data, 2)
                    .and_then(|d| find(d, 2))
                    .and_then(|v| find(v, 1))
                    .and_then(be_number);
                returns = verdict == Some((-5i32).cast_unsigned());
            }
            _ => return false,
        }
    }
    returns
}
