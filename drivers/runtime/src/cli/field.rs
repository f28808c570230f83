//! Which property of a JSON text a place lies in, so that an error can name it.

/// One level of nesting.
enum Level {
    /// An object, and the name read last.
    Object(String),
    /// A list, and the index of the element.
    List(usize),
}

/// The path of names and indices (`mounts[2].options`) that leads to a line and column, both counted from 1.
pub(super) fn at(text: &[u8], line: usize, column: usize) -> String {
    let starts = text.split(|byte| *byte == b'\n').take(line.saturating_sub(1));
    let end = starts.map(|line| line.len() + 1).sum::<usize>() + column;
    let mut levels: Vec<Level> = Vec::new();
    let mut rest = text.iter().take(end).copied().enumerate();
    let mut name_next = false;
    while let Some((_, byte)) = rest.next() {
        match byte {
            b'{' => {
                levels.push(Level::Object(String::new()));
                name_next = true;
            }
            b'[' => levels.push(Level::List(0)),
            // The error may be told at the end of what is wrong: that end still belongs to it.
            b'}' | b']' if rest.len() > 0 => drop(levels.pop()),
            b',' => match levels.last_mut() {
                Some(Level::List(index)) if rest.len() > 0 => *index += 1,
                Some(Level::Object(_)) if rest.len() > 0 => name_next = true,
                _ => {}
            },
            b'"' => {
                let string = string(&mut rest);
                if name_next && let Some(Level::Object(name)) = levels.last_mut() {
                    *name = string;
                    name_next = false;
                }
            }
            _ => {}
        }
    }
    path(&levels)
}

fn string(rest: &mut impl Iterator<Item = (usize, u8)>) -> String {
    let mut bytes = Vec::new();
    while let Some((_, byte)) = rest.next() {
        match byte {
            b'"' => break,
            b'\\' => bytes.extend(rest.next().map(|(_, byte)| byte)),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn path(levels: &[Level]) -> String {
    let mut path = String::new();
    for level in levels {
        match level {
            Level::Object(name) if name.is_empty() => {}
            Level::Object(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
            }
            Level::List(index) => path.push_str(&format!("[{index}]")),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(text: &str) -> String {
        let error = serde_json::from_str::<oci::runtime::Spec>(text).expect_err("wrong");
        at(text.as_bytes(), error.line(), error.column())
    }

    #[test]
    fn the_wrong_property_is_named() {
        for (text, wanted) in [
            (r#"{"process":{"user":{"uid":-1}}}"#, "process.user.uid"),
            (r#"{"process":{"args":["a",7]}}"#, "process.args[1]"),
            (
                "{\"hostname\":\"x\",\n \"mounts\":[{},{\"options\":\"ro\"}]}",
                "mounts[1].options",
            ),
            (
                r#"{"linux":{"namespaces":[{"type":"moon"}]}}"#,
                "linux.namespaces[0].type",
            ),
            (r#"{"root":"/"}"#, "root"),
        ] {
            assert_eq!(field(text), wanted, "{text}");
        }
    }
}
