//! `--chmod`: octal, or symbolic as of chmod(1).

/// A change of permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Octal(u32),
    Symbolic(Vec<Clause>),
}

/// `[ugoa]*[-+=][rwxXst]*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clause {
    who: u32,
    operator: char,
    permissions: String,
}

impl Mode {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777, or symbolic such as u=rwX,go=rX"
            )
        };
        if text.bytes().all(|b| b.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
            return mode.map(Self::Octal).ok_or_else(wrong);
        }
        let clauses: Option<Vec<Clause>> = text.split(',').map(clause).collect();
        clauses.map(Self::Symbolic).ok_or_else(wrong)
    }

    /// The permissions that a file with `mode` gets.
    pub(super) fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        match self {
            Self::Octal(octal) => *octal,
            Self::Symbolic(clauses) => clauses
                .iter()
                .fold(mode, |mode, clause| clause.apply(mode, is_directory)),
        }
    }
}

fn clause(text: &str) -> Option<Clause> {
    let position = text.find(['-', '+', '='])?;
    let (who, rest) = text.split_at(position);
    let mut mask = 0;
    for c in who.chars() {
        mask |= match c {
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => 0o1007,
            'a' => 0o7777,
            _ => return None,
        };
    }
    let permissions = &rest[1..];
    permissions.chars().all(|c| "rwxXst".contains(c)).then(|| Clause {
        who: if who.is_empty() { 0o7777 } else { mask },
        operator: rest.chars().next().unwrap_or('='),
        permissions: permissions.to_owned(),
    })
}

impl Clause {
    fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        let mut bits = 0;
        for c in self.permissions.chars() {
            bits |= match c {
                'r' => 0o444,
                'w' => 0o222,
                'x' => 0o111,
                'X' if is_directory || mode & 0o111 != 0 => 0o111,
                's' => 0o6000,
                't' => 0o1000,
                _ => 0,
            };
        }
        let bits = bits & self.who;
        match self.operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            _ => (mode & !(self.who & 0o777)) | bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal_or_symbolic() {
        for (text, mode, is_directory, expect) in [
            ("755", 0o600, false, 0o755),
            ("0644", 0o777, false, 0o644),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("+x", 0o644, false, 0o755),
            ("go-w", 0o666, false, 0o644),
            ("u+s", 0o755, false, 0o4755),
            ("a=r", 0o777, false, 0o444),
        ] {
            assert_eq!(
                Mode::parse(text).unwrap().apply(mode, is_directory),
                expect,
                "{text}"
            );
        }
        for bad in ["", "9", "77777", "u", "z+x", "u+y"] {
            assert!(Mode::parse(bad).is_err(), "{bad}");
        }
    }
}
