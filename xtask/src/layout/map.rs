//! The linker's map: where each piece of code has come to lie, and where it came from.

use std::path::Path;

use anyhow::{Context, Result, ensure};

/// A piece of code that the linker can move.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// Where it begins.
    pub(super) start: u64,
    /// Bytes.
    pub(super) size: u64,
    /// Where a function may begin.
    pub(super) symbols: Vec<u64>,
    /// The object file, or the member of a library.
    file: String,
    /// Its name in that file.
    name: String,
}

impl Section {
    /// What chooses it in a linker script, also when it is compiled anew.
    pub(super) fn pattern(&self) -> String {
        let name = self.name.strip_prefix(".text.").unwrap_or(&self.name);
        let name = name.strip_prefix("unlikely.").unwrap_or(name);
        let rust = name.starts_with("_ZN") || name.starts_with("_R");
        match self.file.split_once('(') {
            // A library of C: what stands in one file belongs together, and each processor has variants of its own.
            Some((library, member)) if !rust => {
                let member = member.trim_end_matches(')');
                let variants = ["-avx", "-evex", "-sse", "-ssse"];
                let stem = variants.iter().find_map(|variant| member.split_once(variant));
                let member = stem.map_or(member.to_owned(), |(stem, _)| format!("{stem}-*"));
                format!("*{library}:{member}(.text .text.*)")
            }
            None if name == ".text" => format!("*{}(.text)", self.file),
            _ => {
                let name = stable(name);
                format!("*(.text.{name} .text.unlikely.{name})")
            }
        }
    }
}

/// A mangled name without what changes with every compilation: the hash of a function, the identities of crates.
fn stable(name: &str) -> String {
    let plain = match name.rfind("17h") {
        Some(at) if name.starts_with("_ZN") => format!("{}17h*E", &name[..at]),
        _ => without_identities(name),
    };
    // A second one of the same name has a number.
    let plain = match plain.rsplit_once('.') {
        Some((name, number)) if number.bytes().all(|b| b.is_ascii_digit()) => format!("{name}.*"),
        _ => plain,
    };
    // A dollar is not an ordinary character in every linker's patterns.
    plain.replace('$', "?")
}

/// `Cs4X4t9plMPHF_9addr2line` becomes `Cs*_9addr2line` (RFC 2603, `<disambiguator>`).
fn without_identities(name: &str) -> String {
    const LEAST: usize = 8;
    let mut out = String::new();
    let mut rest = name;
    while let Some(at) = rest.find('s') {
        let (before, after) = rest.split_at(at + 1);
        out += before;
        let length = after.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let identity = length >= LEAST && after[length..].starts_with('_') && before.ends_with("Cs");
        rest = if identity {
            out.push('*');
            &after[length..]
        } else {
            after
        };
    }
    out + rest
}

/// The pieces of code in a map as lld writes it, by their place.
///
/// # Errors
/// The map is of another form.
pub(super) fn read(text: &str) -> Result<Vec<Section>> {
    let mut sections: Vec<Section> = Vec::new();
    for line in text.lines().skip(1) {
        let columns = Columns::of(line).with_context(|| format!("no line of lld's map: {line:?}"))?;
        if let Some((file, name)) = columns.what.rsplit_once(":(") {
            let name = name.trim_end_matches(')');
            let name = name.split('+').next().unwrap_or(name);
            sections.push(Section {
                start: columns.start,
                size: columns.size,
                symbols: Vec::new(),
                file: Path::new(file)
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                name: name.to_owned(),
            });
        } else if columns.depth == Columns::SYMBOL
            && let Some(section) = sections.last_mut()
        {
            section.symbols.push(columns.start);
        }
    }
    sections.retain(|section| section.name.starts_with(".text") && section.size > 0);
    sections.sort_by_key(|section| section.start);
    ensure!(!sections.is_empty(), "the map names no code");
    Ok(sections)
}

struct Columns<'l> {
    start: u64,
    size: u64,
    depth: usize,
    what: &'l str,
}

impl<'l> Columns<'l> {
    /// How far the name of a symbol stands from its numbers.
    const SYMBOL: usize = 17;

    /// `VMA LMA Size Align`, then the name, further to the right the deeper it is.
    fn of(line: &'l str) -> Option<Self> {
        let mut rest = line;
        let mut numbers = [""; 4];
        for number in &mut numbers {
            rest = rest.trim_start();
            let end = rest.find(' ')?;
            (*number, rest) = rest.split_at(end);
        }
        let what = rest.trim_start();
        Some(Self {
            start: u64::from_str_radix(numbers[0], 16).ok()?,
            size: u64::from_str_radix(numbers[2], 16).ok()?,
            depth: rest.len() - what.len(),
            what,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAP: &str = "             VMA              LMA     Size Align Out     In      Symbol
          296b40           296b40   2442b8    64 .text
          296c65           296c65      177     1         /t/deps/dhow_runtime-41.cgu.0.rcgu.o:(.text._ZN3std2io5Write9write_fmt17h7be30dd681f87408E)
          296c65           296c65      177     1                 _ZN3std2io5Write9write_fmt17h7be30dd681f87408E
          297fa3           297fa3       25     1         /t/a.rcgu.o:(.text.unlikely._RNvNtCs4X4t9plMPHF_9addr2line4line)
          4843c0           4843c0     5c56    16         /usr/lib/libc.a(malloc.o):(.text)
          4843c0           4843c0       10     1                 malloc
          4843d0           4843d0       10     1                 free
          48d9c0           48d9c0      75e    64         /usr/lib/libc.a(memmove-avx-unaligned-erms.o):(.text.avx)
          4dcb60           4dcb60       20     8         /t/a.rcgu.o:(.tdata.x)
";

    #[test]
    fn pieces_of_code_have_a_place_and_a_pattern_that_outlives_a_compilation() {
        let sections = read(MAP).unwrap();
        let patterns: Vec<String> = sections.iter().map(Section::pattern).collect();
        let expected = [
            "*(.text._ZN3std2io5Write9write_fmt17h*E .text.unlikely._ZN3std2io5Write9write_fmt17h*E)",
            "*(.text._RNvNtCs*_9addr2line4line .text.unlikely._RNvNtCs*_9addr2line4line)",
            "*libc.a:malloc.o(.text .text.*)",
            "*libc.a:memmove-*(.text .text.*)",
        ];
        assert_eq!(patterns, expected);
        assert_eq!(sections[2].symbols, [0x48_43c0, 0x48_43d0]);
        assert_eq!((sections[0].start, sections[0].size), (0x29_6c65, 0x177));
    }

    #[test]
    fn what_is_no_map_is_refused() {
        assert!(read("VMA\nwhat").is_err());
        assert!(read("VMA\n").is_err());
    }
}
