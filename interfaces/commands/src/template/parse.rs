//! Tokens to a tree.

use std::collections::HashMap;

use super::TemplateError;
use super::functions;
use super::lex::{self, Placed, Token};

/// Depth of nested blocks and parentheses beyond which a template is refused.
const DEPTH_LIMIT: usize = 200;

/// A piece of a template.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template(String, Option<Pipe>, usize),
    Break,
    Continue,
}

/// `if`, `with`, `range`: a pipeline and two bodies.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// `$x := a | b`.
#[derive(Clone, Debug)]
pub(super) struct Pipe {
    pub(super) variables: Vec<String>,
    pub(super) assign: bool,
    pub(super) commands: Vec<Vec<Operand>>,
    pub(super) at: usize,
    pub(super) text: String,
}

/// One word of a command, with its place and its text for messages.
#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub(super) kind: Kind,
    pub(super) at: usize,
    pub(super) text: String,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Dot,
    Nil,
    Bool(bool),
    Str(String),
    Int(i64),
    Float(f64),
    Field(Vec<String>),
    Variable(String, Vec<String>),
    Function(String),
    Pipe(Box<Pipe>),
    Chain(Box<Operand>, Vec<String>),
}

/// How a list of nodes ended.
enum End {
    Eof,
    Close,
    /// `else`, and the pipeline's kind (`if`, `with`) if one follows.
    Else(Option<String>),
}

pub(super) fn parse(
    source: &str,
    defined: &mut HashMap<String, Vec<Node>>,
) -> Result<Vec<Node>, TemplateError> {
    let tokens = lex::lex(source)?;
    let mut parser = Parser {
        source,
        tokens,
        next: 0,
        depth: 0,
        loops: 0,
        variables: vec!["$".to_owned()],
        defined,
    };
    let (nodes, end) = parser.list(true)?;
    match end {
        End::Eof => Ok(nodes),
        End::Close => Err(parser.error("unexpected {{end}}")),
        End::Else(_) => Err(parser.error("unexpected {{else}}")),
    }
}

struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Placed>,
    next: usize,
    depth: usize,
    loops: usize,
    variables: Vec<String>,
    defined: &'a mut HashMap<String, Vec<Node>>,
}

impl Parser<'_> {
    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.source.len(), |t| t.1)
    }

    fn error(&self, what: impl Into<String>) -> TemplateError {
        let before = self.next.saturating_sub(1);
        lex::error(self.source, self.tokens.get(before).map_or(0, |t| t.1), what)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|t| &t.0)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).map(|t| t.0.clone());
        self.next += 1;
        token
    }

    fn skip_space(&mut self) {
        while self.peek() == Some(&Token::Space) {
            self.next += 1;
        }
    }

    fn unexpected(&self, token: Option<&Token>, context: &str) -> TemplateError {
        let shown = match token {
            None => "EOF".to_owned(),
            Some(token) => format!("{:?}", show(token)).replace("\\\\", "\\"),
        };
        let shown = if shown.starts_with('"') {
            format!("<{}>", shown.trim_matches('"'))
        } else {
            shown
        };
        self.error(format!("unexpected {shown} in {context}"))
    }

    fn deeper(&mut self) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(self.error("max depth exceeded"));
        }
        Ok(())
    }

    fn list(&mut self, top: bool) -> Result<(Vec<Node>, End), TemplateError> {
        self.deeper()?;
        let mut nodes = Vec::new();
        let end = loop {
            match self.take() {
                None if top => break End::Eof,
                None => return Err(self.error("unexpected EOF")),
                Some(Token::Text(text)) => nodes.push(Node::Text(text)),
                _ => {
                    self.skip_space();
                    if let Some(end) = self.action(&mut nodes, top)? {
                        break end;
                    }
                }
            }
        };
        self.depth -= 1;
        Ok((nodes, end))
    }

    /// One action, whose `{{` is behind us.
    fn action(&mut self, nodes: &mut Vec<Node>, top: bool) -> Result<Option<End>, TemplateError> {
        let keyword = match self.peek() {
            Some(Token::Word(word)) => word.clone(),
            _ => String::new(),
        };
        let known = [
            "if", "with", "range", "end", "else", "template", "define", "block", "break", "continue",
        ];
        if known.contains(&keyword.as_str()) {
            self.next += 1;
        }
        match keyword.as_str() {
            "if" => nodes.push(Node::If(self.branch("if")?)),
            "with" => nodes.push(Node::With(self.branch("with")?)),
            "range" => nodes.push(Node::Range(self.branch("range")?)),
            "end" => {
                self.close("end")?;
                return Ok(Some(End::Close));
            }
            "else" => {
                self.skip_space();
                if let Some(Token::Word(word)) = self.peek() {
                    let word = word.clone();
                    if word == "if" || word == "with" {
                        self.next += 1;
                        return Ok(Some(End::Else(Some(word))));
                    }
                }
                self.close("else")?;
                return Ok(Some(End::Else(None)));
            }
            "template" => {
                self.skip_space();
                let at = self.at();
                let name = self.name("template clause")?;
                self.skip_space();
                let pipe = match self.peek() {
                    Some(Token::Close) => {
                        self.next += 1;
                        None
                    }
                    _ => Some(self.pipe("template clause", true)?),
                };
                nodes.push(Node::Template(name, pipe, at));
            }
            "define" => {
                if !top {
                    return Err(self.error("unexpected {{define}}"));
                }
                let name = self.name("define clause")?;
                self.close("define clause")?;
                self.define(name)?;
            }
            "block" => {
                let name = self.name("block clause")?;
                let at = self.at();
                let pipe = self.pipe("block clause", true)?;
                self.define(name.clone())?;
                nodes.push(Node::Template(name, Some(pipe), at));
            }
            "break" | "continue" => {
                if self.loops == 0 {
                    return Err(self.error(format!("{{{{{keyword}}}}} outside {{{{range}}}}")));
                }
                self.close(&keyword)?;
                nodes.push(if keyword == "break" {
                    Node::Break
                } else {
                    Node::Continue
                });
            }
            _ => nodes.push(Node::Action(self.pipe("command", true)?)),
        }
        Ok(None)
    }

    fn close(&mut self, context: &str) -> Result<(), TemplateError> {
        self.skip_space();
        match self.take() {
            Some(Token::Close) => Ok(()),
            other => Err(self.unexpected(other.as_ref(), context)),
        }
    }

    fn name(&mut self, context: &str) -> Result<String, TemplateError> {
        self.skip_space();
        match self.take() {
            Some(Token::Text2(name)) => Ok(name),
            other => Err(self.unexpected(other.as_ref(), context)),
        }
    }

    fn define(&mut self, name: String) -> Result<(), TemplateError> {
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let loops = std::mem::take(&mut self.loops);
        let (body, end) = self.list(false)?;
        self.variables = outer;
        self.loops = loops;
        let End::Close = end else {
            return Err(self.error("unexpected {{else}} in define clause"));
        };
        self.defined.insert(name, body);
        Ok(())
    }

    fn branch(&mut self, kind: &str) -> Result<Branch, TemplateError> {
        self.deeper()?;
        let scope = self.variables.len();
        let pipe = self.pipe(kind, true)?;
        self.loops += usize::from(kind == "range");
        let (body, end) = self.list(false)?;
        self.loops -= usize::from(kind == "range");
        let otherwise = match end {
            End::Close => Vec::new(),
            End::Eof => return Err(self.error("unexpected EOF")),
            End::Else(None) => {
                let (nodes, end) = self.list(false)?;
                let End::Close = end else {
                    return Err(self.error("expected end; found {{else}}"));
                };
                nodes
            }
            // `else if` is an `if` inside the `else`, which shares our `end`.
            End::Else(Some(next)) if next == kind => {
                let inner = self.branch(&next)?;
                vec![if next == "if" {
                    Node::If(inner)
                } else {
                    Node::With(inner)
                }]
            }
            End::Else(Some(_)) => return Err(self.error(format!("unexpected keyword in {kind}"))),
        };
        self.variables.truncate(scope);
        self.depth -= 1;
        Ok(Branch {
            pipe,
            body,
            otherwise,
        })
    }

    /// A pipeline and what ends it: `}}` for an action, `)` in parentheses.
    fn pipe(&mut self, context: &str, action: bool) -> Result<Pipe, TemplateError> {
        self.deeper()?;
        self.skip_space();
        let at = self.at();
        let (variables, assign) = self.declaration(context)?;
        let mut commands: Vec<Vec<Operand>> = Vec::new();
        loop {
            self.skip_space();
            match self.peek() {
                Some(Token::Close) if action => break,
                Some(Token::Right) if !action => break,
                _ => commands.push(self.command(context)?),
            }
            self.skip_space();
            match self.peek() {
                Some(Token::Pipe) => {
                    self.next += 1;
                    self.skip_space();
                    if matches!(
                        self.peek(),
                        Some(Token::Close | Token::Right | Token::Pipe) | None
                    ) {
                        return Err(self.error(format!("missing value for {context}")));
                    }
                }
                Some(Token::Close) if action => break,
                Some(Token::Right) if !action => break,
                other => return Err(self.unexpected(other, context)),
            }
        }
        let end = self.at();
        self.next += 1;
        if commands.is_empty() {
            return Err(self.error(format!("missing value for {context}")));
        }
        for command in &commands[1..] {
            if matches!(
                command[0].kind,
                Kind::Bool(_) | Kind::Dot | Kind::Nil | Kind::Int(_) | Kind::Float(_) | Kind::Str(_)
            ) {
                return Err(self.error("non executable command in pipeline stage 2"));
            }
        }
        for variable in &variables {
            if !assign {
                self.variables.push(variable.clone());
            }
        }
        self.depth -= 1;
        Ok(Pipe {
            variables,
            assign,
            commands,
            at,
            text: self.source[at..end].trim_end().to_owned(),
        })
    }

    /// `$a :=`, `$a =`, `$a, $b :=` (the last in `range` only).
    fn declaration(&mut self, context: &str) -> Result<(Vec<String>, bool), TemplateError> {
        let begin = self.next;
        let mut names = Vec::new();
        while let Some(Token::Variable(name)) = self.peek() {
            names.push(name.clone());
            self.next += 1;
            self.skip_space();
            match self.peek() {
                Some(Token::Comma) if context == "range" && names.len() == 1 => {
                    self.next += 1;
                    self.skip_space();
                }
                Some(Token::Comma) => return Err(self.error(format!("too many declarations in {context}"))),
                Some(Token::Declare) => {
                    self.next += 1;
                    return Ok((names, false));
                }
                Some(Token::Assign) => {
                    self.next += 1;
                    if let Some(unknown) = names.iter().find(|n| !self.variables.contains(n)) {
                        return Err(self.error(format!("undefined variable {unknown:?}")));
                    }
                    return Ok((names, true));
                }
                _ => break,
            }
        }
        self.next = begin;
        Ok((Vec::new(), false))
    }

    fn command(&mut self, context: &str) -> Result<Vec<Operand>, TemplateError> {
        let mut words = Vec::new();
        loop {
            self.skip_space();
            match self.peek() {
                None | Some(Token::Close | Token::Right | Token::Pipe) => break,
                _ => words.push(self.operand(context)?),
            }
            if !matches!(
                self.peek(),
                Some(Token::Space | Token::Close | Token::Right | Token::Pipe)
            ) {
                let token = self.peek().cloned();
                self.next += 1;
                return Err(self.unexpected(token.as_ref(), "operand"));
            }
        }
        if words.is_empty() {
            Err(self.error("empty command"))
        } else {
            Ok(words)
        }
    }

    fn operand(&mut self, context: &str) -> Result<Operand, TemplateError> {
        let at = self.at();
        let token = self.take();
        let kind = match token {
            Some(Token::Dot) => Kind::Dot,
            Some(Token::Word(word)) => match word.as_str() {
                "true" => Kind::Bool(true),
                "false" => Kind::Bool(false),
                "nil" => Kind::Nil,
                _ if functions::exists(&word) => Kind::Function(word),
                _ => return Err(self.error(format!("function {word:?} not defined"))),
            },
            Some(Token::Field(name)) => Kind::Field(vec![name]),
            Some(Token::Variable(name)) => {
                if !self.variables.contains(&name) {
                    return Err(self.error(format!("undefined variable {name:?}")));
                }
                Kind::Variable(name, Vec::new())
            }
            Some(Token::Text2(text)) => Kind::Str(text),
            Some(Token::Char(c)) => Kind::Int(i64::from(c as u32)),
            Some(Token::Number(text)) => {
                number(&text).ok_or_else(|| self.error(format!("bad number syntax: {text:?}")))?
            }
            Some(Token::Left) => Kind::Pipe(Box::new(self.pipe("parenthesized pipeline", false)?)),
            other => return Err(self.unexpected(other.as_ref(), context)),
        };
        let mut operand = Operand {
            kind,
            at,
            text: self.source[at..self.at()].trim_end().to_owned(),
        };
        if let Some(Token::Field(_)) = self.peek() {
            // Go places a chain at its second part.
            let second = self.at();
            let mut names = Vec::new();
            while let Some(Token::Field(name)) = self.peek() {
                names.push(name.clone());
                self.next += 1;
            }
            let kind = match operand.kind {
                Kind::Field(mut first) => {
                    first.append(&mut names);
                    Kind::Field(first)
                }
                Kind::Variable(name, _) => Kind::Variable(name, names),
                Kind::Pipe(_) => Kind::Chain(Box::new(operand.clone()), names),
                _ => return Err(self.error(format!("unexpected . after term {:?}", operand.text))),
            };
            operand = Operand {
                kind,
                at: second,
                text: self.source[at..self.at()].trim_end().to_owned(),
            };
        }
        Ok(operand)
    }
}

fn number(text: &str) -> Option<Kind> {
    let (negative, digits) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let plain = digits.replace('_', "");
    let lower = plain.to_ascii_lowercase();
    let magnitude = if let Some(hex) = lower.strip_prefix("0x") {
        u64::from_str_radix(hex, 16).ok()
    } else if let Some(binary) = lower.strip_prefix("0b") {
        u64::from_str_radix(binary, 2).ok()
    } else if let Some(octal) = lower.strip_prefix("0o") {
        u64::from_str_radix(octal, 8).ok()
    } else if plain.len() > 1 && plain.starts_with('0') && plain.bytes().all(|b| b.is_ascii_digit()) {
        u64::from_str_radix(&plain, 8).ok()
    } else {
        plain.parse().ok()
    };
    if let Some(n) = magnitude {
        let n = i128::from(n) * if negative { -1 } else { 1 };
        return i64::try_from(n).ok().map(Kind::Int);
    }
    // Rust also reads `inf` and `nan`, which are no numbers here.
    if !plain.bytes().next()?.is_ascii_digit() && !plain.starts_with('.') {
        return None;
    }
    let value: f64 = plain.parse().ok()?;
    Some(Kind::Float(if negative { -value } else { value }))
}

fn show(token: &Token) -> String {
    match token {
        Token::Text(text) | Token::Text2(text) | Token::Word(text) | Token::Number(text) => text.clone(),
        Token::Variable(name) => name.clone(),
        Token::Field(name) => format!(".{name}"),
        Token::Char(c) => format!("'{c}'"),
        Token::Open => "{{".to_owned(),
        Token::Close => "}}".to_owned(),
        Token::Dot => ".".to_owned(),
        Token::Pipe => "|".to_owned(),
        Token::Left => "(".to_owned(),
        Token::Right => ")".to_owned(),
        Token::Comma => ",".to_owned(),
        Token::Assign => "=".to_owned(),
        Token::Declare => ":=".to_owned(),
        Token::Space => " ".to_owned(),
    }
}
