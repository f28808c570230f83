//! Variables and quotes: `$NAME`, every form of `${NAME…}`, and how a text falls into words.

mod pattern;

/// Why a text cannot be expanded; the texts are BuildKit's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A quote is not closed.
    #[error("unexpected end of statement while looking for matching {0}")]
    Unclosed(&'static str),
    /// `${` is not closed.
    #[error("syntax error: missing '}}'")]
    NoBrace,
    /// `${}`, `${:`.
    #[error("syntax error: bad substitution")]
    BadSubstitution,
    /// An operator that does not exist.
    #[error("unsupported modifier ({0}) in substitution")]
    Modifier(String),
    /// `${NAME:?why}`.
    #[error("{name}: {why}")]
    Required {
        /// The variable.
        name: String,
        /// What the Dockerfile says of it.
        why: String,
    },
    /// `${a:-${b:-…` beyond all reason.
    #[error("substitutions are nested too deeply")]
    TooDeep,
    /// The result would fill the memory.
    #[error("the expanded text is too long")]
    TooLong,
}

impl fault::Fault for ExpandError {
    fn kind(&self) -> fault::Kind {
        fault::Kind::InvalidParameter
    }
}

/// How a text is read.
#[derive(Clone, Copy, Debug)]
pub struct Lexer {
    /// The escape character.
    pub escape: char,
    /// Keep quotes.
    pub raw_quotes: bool,
    /// Keep escapes.
    pub raw_escapes: bool,
    /// Leave unknown variables as they are written.
    pub skip_unset: bool,
    /// Quotes mean nothing (the text of a here-document).
    pub no_quotes: bool,
}

/// Looks a variable up.
pub trait Variables {
    /// Its value, if it is set.
    fn get(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> Variables for F {
    fn get(&self, name: &str) -> Option<String> {
        self(name)
    }
}

/// `${a:-${b:-…}}` nested more deeply is refused.
const MAX_DEPTH: usize = 64;
/// No text may grow beyond this.
const MAX_LENGTH: usize = 4 << 20;

impl Lexer {
    /// The usual way, with this escape character.
    pub fn new(escape: char) -> Self {
        Self {
            escape,
            raw_quotes: false,
            raw_escapes: false,
            skip_unset: false,
            no_quotes: false,
        }
    }

    /// Expands a text to one text.
    ///
    /// # Errors
    /// [`ExpandError`].
    pub fn word(&self, text: &str, variables: &dyn Variables) -> Result<String, ExpandError> {
        Ok(self.run(text, variables)?.0)
    }

    /// Expands a text, and splits it at white space that is not quoted, also inside of values.
    ///
    /// # Errors
    /// [`ExpandError`].
    pub fn words(&self, text: &str, variables: &dyn Variables) -> Result<Vec<String>, ExpandError> {
        Ok(self.run(text, variables)?.1)
    }

    fn run(&self, text: &str, variables: &dyn Variables) -> Result<(String, Vec<String>), ExpandError> {
        let mut reader = Reader {
            lexer: *self,
            variables,
            chars: text.chars().collect(),
            position: 0,
            depth: 0,
        };
        let (text, words) = reader.until(None, self.raw_escapes)?;
        Ok((text, words.finish()))
    }
}

/// Collects words.
#[derive(Default)]
struct Words {
    words: Vec<String>,
    word: String,
    started: bool,
}

impl Words {
    /// A character that separates words if it is white space.
    fn plain(&mut self, c: char) {
        if c.is_whitespace() {
            if self.started {
                self.words.push(std::mem::take(&mut self.word));
                self.started = false;
            }
        } else {
            self.raw(c);
        }
    }

    fn raw(&mut self, c: char) {
        self.word.push(c);
        self.started = true;
    }

    fn quoted(&mut self, text: &str) {
        self.word.push_str(text);
        self.started = true;
    }

    fn finish(mut self) -> Vec<String> {
        if self.started {
            self.words.push(self.word);
        }
        self.words
    }
}

struct Reader<'a> {
    lexer: Lexer,
    variables: &'a dyn Variables,
    chars: Vec<char>,
    position: usize,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.position).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.position += 1;
        Some(c)
    }

    /// Reads to `stop`, or to the end.
    fn until(&mut self, stop: Option<char>, raw_escapes: bool) -> Result<(String, Words), ExpandError> {
        let (mut out, mut words) = (String::new(), Words::default());
        while let Some(c) = self.peek() {
            if Some(c) == stop {
                self.position += 1;
                return Ok((out, words));
            }
            match c {
                '$' => {
                    let value = self.dollar()?;
                    value.chars().for_each(|c| words.plain(c));
                    out.push_str(&value);
                }
                '\'' | '"' if !self.lexer.no_quotes => {
                    let text = if c == '"' {
                        self.double_quoted()?
                    } else {
                        self.single_quoted()?
                    };
                    words.quoted(&text);
                    out.push_str(&text);
                }
                c if c == self.lexer.escape => {
                    self.position += 1;
                    if raw_escapes {
                        words.raw(c);
                        out.push(c);
                    }
                    if let Some(next) = self.next() {
                        words.raw(next);
                        out.push(next);
                    }
                }
                c => {
                    self.position += 1;
                    words.plain(c);
                    out.push(c);
                }
            }
            if out.len() > MAX_LENGTH {
                return Err(ExpandError::TooLong);
            }
        }
        match stop {
            None => Ok((out, words)),
            Some(_) => Err(ExpandError::NoBrace),
        }
    }

    fn single_quoted(&mut self) -> Result<String, ExpandError> {
        let mut out = String::new();
        let quote = self.next();
        out.extend(quote.filter(|_| self.lexer.raw_quotes));
        loop {
            match self.next() {
                None => return Err(ExpandError::Unclosed("single-quote")),
                Some('\'') => break,
                Some(c) => out.push(c),
            }
        }
        out.extend(quote.filter(|_| self.lexer.raw_quotes));
        Ok(out)
    }

    fn double_quoted(&mut self) -> Result<String, ExpandError> {
        let mut out = String::new();
        let quote = self.next();
        out.extend(quote.filter(|_| self.lexer.raw_quotes));
        loop {
            match self.peek() {
                None => return Err(ExpandError::Unclosed("double-quote")),
                Some('"') => {
                    self.position += 1;
                    break;
                }
                Some('$') => out.push_str(&self.dollar()?),
                Some(c) => {
                    self.position += 1;
                    let escapes = c == self.lexer.escape
                        && matches!(self.peek(), Some(next) if next == '"' || next == '$' || next == self.lexer.escape);
                    if !escapes || self.lexer.raw_escapes {
                        out.push(c);
                    }
                    if escapes {
                        out.extend(self.next());
                    }
                }
            }
        }
        out.extend(quote.filter(|_| self.lexer.raw_quotes));
        Ok(out)
    }

    fn dollar(&mut self) -> Result<String, ExpandError> {
        self.position += 1;
        if self.peek() == Some('{') {
            self.position += 1;
            if self.depth == MAX_DEPTH {
                return Err(ExpandError::TooDeep);
            }
            self.depth += 1;
            let value = self.braces();
            self.depth -= 1;
            return value;
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        match self.variables.get(&name) {
            Some(value) => Ok(value),
            None if self.lexer.skip_unset => Ok(format!("${name}")),
            None => Ok(String::new()),
        }
    }

    /// A name; a number; or one of the shell's special ones.
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.peek() {
            Some(c) if c.is_ascii_digit() => {
                while let Some(c) = self.peek().filter(char::is_ascii_digit) {
                    name.push(c);
                    self.position += 1;
                }
            }
            Some(c) if "@*#?-$!".contains(c) => {
                self.position += 1;
                name.push(c);
            }
            _ => {
                while let Some(c) = self.peek().filter(|c| c.is_alphanumeric() || *c == '_') {
                    name.push(c);
                    self.position += 1;
                }
            }
        }
        name
    }

    fn braces(&mut self) -> Result<String, ExpandError> {
        match self.peek() {
            None => return Err(ExpandError::NoBrace),
            Some('{' | '}' | ':') => return Err(ExpandError::BadSubstitution),
            _ => {}
        }
        let name = self.name();
        let value = self.variables.get(&name);
        match self.next() {
            None => Err(ExpandError::NoBrace),
            Some('}') => Ok(match value {
                Some(value) => value,
                None if self.lexer.skip_unset => format!("${{{name}}}"),
                None => String::new(),
            }),
            Some(':') => match self.next() {
                Some(operator @ ('-' | '+' | '?')) => self.conditional(operator, true, &name, value),
                Some(other) => Err(ExpandError::Modifier(format!(":{other}"))),
                None => Err(ExpandError::NoBrace),
            },
            Some(operator @ ('-' | '+' | '?')) => self.conditional(operator, false, &name, value),
            Some(side @ ('#' | '%')) => {
                let greedy = self.peek() == Some(side);
                self.position += usize::from(greedy);
                let (pattern, _) = self.until(Some('}'), true)?;
                let value = value.unwrap_or_default();
                if pattern::too_large(&pattern, &value, 1) {
                    return Err(ExpandError::TooLong);
                }
                Ok(match side {
                    '#' => pattern::trim_prefix(&pattern, &value, greedy),
                    _ => pattern::trim_suffix(&pattern, &value, greedy),
                })
            }
            Some('/') => {
                let all = self.peek() == Some('/');
                self.position += usize::from(all);
                let (pattern, _) = self.until(Some('/'), true)?;
                let (replacement, _) = self.until(Some('}'), true)?;
                let value = value.unwrap_or_default();
                if pattern::too_large(&pattern, &value, value.len())
                    || value.len().saturating_mul(replacement.len()) > MAX_LENGTH
                {
                    return Err(ExpandError::TooLong);
                }
                Ok(pattern::replace(&pattern, &value, &replacement, all))
            }
            Some(other) => Err(ExpandError::Modifier(other.to_string())),
        }
    }

    fn conditional(
        &mut self,
        operator: char,
        empty_is_unset: bool,
        name: &str,
        value: Option<String>,
    ) -> Result<String, ExpandError> {
        let (word, _) = self.until(Some('}'), false)?;
        let usable = value.filter(|value| !(empty_is_unset && value.is_empty()));
        match (operator, usable) {
            ('-', Some(value)) | ('?', Some(value)) => Ok(value),
            ('-', None) | ('+', Some(_)) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, _) => Err(ExpandError::Required {
                name: name.to_owned(),
                why: match word.as_str() {
                    "" if empty_is_unset => "is not allowed to be empty".to_owned(),
                    "" => "is not allowed to be unset".to_owned(),
                    _ => word,
                },
            }),
        }
    }
}

#[cfg(test)]
mod tests;
