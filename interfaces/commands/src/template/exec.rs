//! Walks the tree.

use super::functions;
use super::parse::{Branch, Kind, Node, Operand, Pipe};
use super::{MissingKey, Template, TemplateError, Value};

/// Bytes that a template may print for one value.
const OUTPUT_LIMIT: usize = 64 << 20;
/// How deep templates may call each other, or themselves.
const DEPTH_LIMIT: usize = 200;
/// Actions that one execution may take: a template that doubles itself at each of its levels ends here.
const STEP_LIMIT: usize = 20_000_000;

/// How a list of nodes ended.
enum Flow {
    Next,
    Break,
    Continue,
}

struct Machine<'t> {
    template: &'t Template,
    missing: MissingKey,
    out: String,
    variables: Vec<(String, Value)>,
    name: String,
    depth: usize,
    steps: usize,
}

pub(super) fn run(template: &Template, value: &Value, missing: MissingKey) -> Result<String, TemplateError> {
    let mut machine = Machine {
        template,
        missing,
        out: String::new(),
        variables: vec![("$".to_owned(), value.clone())],
        name: String::new(),
        depth: 0,
        steps: 0,
    };
    machine.walk(&template.main, value)?;
    Ok(machine.out)
}

/// A failure at an operand.
type Exec<T> = Result<T, TemplateError>;

/// What JSON's null prints as: in Go it is an empty list or map where the field is one.
fn nothing(pipe: &Pipe, missing: MissingKey) -> &'static str {
    match pipe.commands.as_slice() {
        [words] if missing == MissingKey::Error => match words.as_slice() {
            [
                Operand {
                    kind: Kind::Field(names) | Kind::Variable(_, names),
                    ..
                },
            ] => super::fields::null(names),
            _ => "<no value>",
        },
        _ => "<no value>",
    }
}

impl<'t> Machine<'t> {
    fn error(&self, at: usize, text: &str, what: impl Into<String>) -> TemplateError {
        let source = &self.template.source;
        let begin = source[..at.min(source.len())].rfind('\n').map_or(0, |i| i + 1);
        TemplateError::Exec {
            line: super::lex::line_of(source, at),
            column: at - begin,
            name: self.name.clone(),
            at: text.to_owned(),
            what: what.into(),
        }
    }

    fn print(&mut self, text: &str) -> Exec<()> {
        if self.out.len() + text.len() > OUTPUT_LIMIT {
            return Err(TemplateError::TooLarge(OUTPUT_LIMIT));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn walk(&mut self, nodes: &'t [Node], dot: &Value) -> Exec<Flow> {
        for node in nodes {
            self.steps += 1;
            if self.steps > STEP_LIMIT {
                return Err(TemplateError::TooLarge(OUTPUT_LIMIT));
            }
            match node {
                Node::Text(text) => self.print(text)?,
                Node::Action(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.variables.is_empty() {
                        match value {
                            Value::Nil => self.print(nothing(pipe, self.missing))?,
                            value => {
                                let text = value.printed();
                                self.print(&text)?;
                            }
                        }
                    }
                }
                Node::If(branch) => {
                    let scope = self.variables.len();
                    let yes = self.pipe(&branch.pipe, dot)?.is_true();
                    let flow = self.walk(if yes { &branch.body } else { &branch.otherwise }, dot)?;
                    self.variables.truncate(scope);
                    if !matches!(flow, Flow::Next) {
                        return Ok(flow);
                    }
                }
                Node::With(branch) => {
                    let scope = self.variables.len();
                    let value = self.pipe(&branch.pipe, dot)?;
                    let flow = if value.is_true() {
                        self.walk(&branch.body, &value)?
                    } else {
                        self.walk(&branch.otherwise, dot)?
                    };
                    self.variables.truncate(scope);
                    if !matches!(flow, Flow::Next) {
                        return Ok(flow);
                    }
                }
                Node::Range(branch) => {
                    if let flow @ (Flow::Break | Flow::Continue) = self.range(branch, dot)? {
                        return Ok(flow);
                    }
                }
                Node::Template(name, pipe, at) => self.call(name, pipe.as_ref(), *at, dot)?,
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
            }
        }
        Ok(Flow::Next)
    }

    fn range(&mut self, branch: &'t Branch, dot: &Value) -> Exec<Flow> {
        let scope = self.variables.len();
        let pipe = &branch.pipe;
        // The variables belong to the turns, not to the pipeline's value.
        let value = self.commands(pipe, dot)?;
        let turns: Vec<(Value, Value)> = match &value {
            Value::List(items) => items
                .iter()
                .enumerate()
                .map(|(i, v)| (Value::Int(i as i64), v.clone()))
                .collect(),
            Value::Map(members) => super::value::sorted(members)
                .into_iter()
                .map(|(k, v)| (Value::Str(k.clone()), v.clone()))
                .collect(),
            Value::Int(n) if *n <= 1_000_000 => (0..*n).map(|i| (Value::Int(i), Value::Int(i))).collect(),
            Value::Nil => Vec::new(),
            other => {
                let what = format!("range can't iterate over {}", other.printed());
                return Err(self.error(pipe.at, &pipe.text, what));
            }
        };
        let mut flow = Flow::Next;
        if turns.is_empty() {
            flow = self.walk(&branch.otherwise, dot)?;
        }
        for (key, item) in turns {
            match (pipe.variables.as_slice(), pipe.assign) {
                ([one], false) => self.variables.push((one.clone(), item.clone())),
                ([one, two], false) => {
                    self.variables.push((one.clone(), key));
                    self.variables.push((two.clone(), item.clone()));
                }
                ([one], true) => self.assign(one, item.clone()),
                ([one, two], true) => {
                    self.assign(one, key);
                    self.assign(two, item.clone());
                }
                _ => {}
            }
            let end = self.walk(&branch.body, &item)?;
            self.variables.truncate(scope);
            if let Flow::Break = end {
                break;
            }
        }
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn call(&mut self, name: &str, pipe: Option<&'t Pipe>, at: usize, dot: &Value) -> Exec<()> {
        let Some(body) = self.template.defined.get(name) else {
            return Err(self.error(
                at,
                &format!("{{{{template {name:?}}}}}"),
                format!("template {name:?} not defined"),
            ));
        };
        let value = match pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::Nil,
        };
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            let what = format!("exceeded maximum template depth ({DEPTH_LIMIT})");
            return Err(self.error(at, name, what));
        }
        let variables = std::mem::replace(&mut self.variables, vec![("$".to_owned(), value.clone())]);
        let outer = std::mem::replace(&mut self.name, name.to_owned());
        self.walk(body, &value)?;
        self.variables = variables;
        self.name = outer;
        self.depth -= 1;
        Ok(())
    }

    fn assign(&mut self, name: &str, value: Value) {
        if let Some(variable) = self.variables.iter_mut().rev().find(|v| v.0 == name) {
            variable.1 = value;
        }
    }

    fn pipe(&mut self, pipe: &'t Pipe, dot: &Value) -> Exec<Value> {
        let value = self.commands(pipe, dot)?;
        for name in &pipe.variables {
            if pipe.assign {
                self.assign(name, value.clone());
            } else {
                self.variables.push((name.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    fn commands(&mut self, pipe: &'t Pipe, dot: &Value) -> Exec<Value> {
        let mut last = None;
        for command in &pipe.commands {
            last = Some(self.command(command, dot, last)?);
        }
        Ok(last.unwrap_or(Value::Nil))
    }

    /// One command; `last` is the value from the left of the pipe.
    fn command(&mut self, words: &'t [Operand], dot: &Value, last: Option<Value>) -> Exec<Value> {
        let first = &words[0];
        let given = words.len() > 1 || last.is_some();
        match &first.kind {
            Kind::Function(name) => self.function(name, first, &words[1..], dot, last),
            Kind::Field(names) if given => self.method(first, dot, names, &words[1..], dot, last),
            Kind::Variable(name, names) if given && !names.is_empty() => {
                let receiver = self.variable(name);
                self.method(first, &receiver, names, &words[1..], dot, last)
            }
            Kind::Nil => Err(self.error(first.at, &first.text, "nil is not a command")),
            _ if given => {
                let what = format!("can't give argument to non-function {}", first.text);
                Err(self.error(first.at, &first.text, what))
            }
            _ => self.operand(first, dot),
        }
    }

    fn variable(&self, name: &str) -> Value {
        self.variables
            .iter()
            .rev()
            .find(|v| v.0 == name)
            .map_or(Value::Nil, |v| v.1.clone())
    }

    fn operand(&mut self, operand: &'t Operand, dot: &Value) -> Exec<Value> {
        Ok(match &operand.kind {
            Kind::Dot => dot.clone(),
            Kind::Nil => Value::Nil,
            Kind::Bool(b) => Value::Bool(*b),
            Kind::Str(text) => Value::from(text.as_str()),
            Kind::Int(n) => Value::Int(*n),
            Kind::Float(n) => Value::Float(*n),
            Kind::Field(names) => self.fields(dot.clone(), names, operand)?,
            Kind::Variable(name, names) => self.fields(self.variable(name), names, operand)?,
            Kind::Pipe(pipe) => self.pipe(pipe, dot)?,
            Kind::Chain(inner, names) => {
                let value = self.operand(inner, dot)?;
                self.fields(value, names, operand)?
            }
            Kind::Function(name) => self.function(name, operand, &[], dot, None)?,
        })
    }

    fn fields(&self, mut value: Value, names: &[String], operand: &Operand) -> Exec<Value> {
        for (i, name) in names.iter().enumerate() {
            let parent = if i > 0 { names[i - 1].as_str() } else { "" };
            value = self.field(value, parent, name, operand)?;
        }
        Ok(value)
    }

    fn field(&self, value: Value, parent: &str, name: &str, operand: &Operand) -> Exec<Value> {
        let Value::Map(members) = &value else {
            let what = match &value {
                Value::Nil if self.missing == MissingKey::NoValue => {
                    format!("nil pointer evaluating interface {{}}.{name}")
                }
                Value::Nil => format!("map has no entry for key \"{parent}\""),
                other => format!("can't evaluate field {name} in type {}", other.type_name()),
            };
            return Err(self.error(operand.at, &operand.text, what));
        };
        if let Some((_, found)) = members.iter().find(|(k, _)| &**k == name) {
            return Ok(found.clone());
        }
        match self.missing {
            MissingKey::NoValue | MissingKey::Header => Ok(Value::Nil),
            MissingKey::Row(kind) => {
                if let Some((_, found)) = members.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)) {
                    return Ok(found.clone());
                }
                let what = format!("can't evaluate field {name} in type {kind}");
                Err(self.error(operand.at, &operand.text, what))
            }
            MissingKey::Error => {
                // Docker tries its Go structs first, whose fields may be written `ID` where JSON has `Id`.
                if let Some((_, found)) = members.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)) {
                    return Ok(found.clone());
                }
                if let Some(old) = value.get(&format!("{}{name}", super::value::HIDDEN)) {
                    return Ok(old.clone());
                }
                if let Some(zero) = super::fields::left_out(parent, name) {
                    return Ok(zero);
                }
                let what = format!("map has no entry for key {name:?}");
                Err(self.error(operand.at, &operand.text, what))
            }
        }
    }

    /// A field with arguments: the rows of docker's lists have one such, `.Label "name"`.
    fn method(
        &mut self,
        first: &'t Operand,
        receiver: &Value,
        names: &[String],
        rest: &'t [Operand],
        dot: &Value,
        last: Option<Value>,
    ) -> Exec<Value> {
        let mut arguments = self.arguments(rest, dot)?;
        arguments.extend(last);
        if let ([name], [Value::Str(key)]) = (names, arguments.as_slice())
            && let Some(map) = receiver.get(&format!("{}{name}", super::value::HIDDEN))
        {
            return Ok(match map {
                // The header of a label's column is the last part of its name.
                Value::Map(_) if self.missing == MissingKey::Header => {
                    Value::from(key.rsplit('.').next().unwrap_or_default())
                }
                Value::Map(_) => map.get(key).cloned().unwrap_or_else(|| Value::from("")),
                fixed => fixed.clone(),
            });
        }
        let name = names.last().map_or("", String::as_str);
        let what = format!("{name} has arguments but cannot be invoked as function");
        Err(self.error(first.at, &first.text, what))
    }

    fn arguments(&mut self, words: &'t [Operand], dot: &Value) -> Exec<Vec<Value>> {
        words.iter().map(|word| self.operand(word, dot)).collect()
    }

    fn function(
        &mut self,
        name: &str,
        first: &'t Operand,
        rest: &'t [Operand],
        dot: &Value,
        last: Option<Value>,
    ) -> Exec<Value> {
        // These two stop at the first argument that decides.
        if name == "and" || name == "or" {
            let mut value = Value::Nil;
            for word in rest {
                value = self.operand(word, dot)?;
                if value.is_true() == (name == "or") {
                    return Ok(value);
                }
            }
            return match last {
                Some(last) => Ok(last),
                None if rest.is_empty() => {
                    let what = format!("wrong number of args for {name}: want at least 1 got 0");
                    Err(self.error(first.at, &first.text, what))
                }
                None => Ok(value),
            };
        }
        let mut arguments = self.arguments(rest, dot)?;
        arguments.extend(last);
        let header = matches!(self.missing, MissingKey::Header);
        functions::call(name, &arguments, header).map_err(|what| {
            let words: Vec<&str> = std::iter::once(first)
                .chain(rest)
                .map(|w| w.text.as_str())
                .collect();
            self.error(first.at, &words.join(" "), what)
        })
    }
}
