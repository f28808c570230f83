//! What a server wants to see: the header `WWW-Authenticate` (RFC 9110, 11.6.1).

use std::collections::BTreeMap;

/// One way to authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// Name and password with every request.
    Basic,
    /// A token from a service.
    Bearer {
        /// Where the service is.
        realm: String,
        /// What the registry is called there.
        service: String,
        /// What the registry says that the token must allow.
        scope: String,
    },
}

/// The challenges of one header, those that are not known left out.
pub fn parse(header: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut rest = header.trim_start();
    while let Some((scheme, parameters, after)) = next(rest) {
        let text = |name: &str| parameters.get(name).cloned().unwrap_or_default();
        match scheme.to_ascii_lowercase().as_str() {
            "basic" => found.push(Challenge::Basic),
            "bearer" if parameters.contains_key("realm") => found.push(Challenge::Bearer {
                realm: text("realm"),
                service: text("service"),
                scope: text("scope"),
            }),
            _ => {}
        }
        rest = after;
    }
    found
}

/// The first challenge, and what follows it.
fn next(text: &str) -> Option<(&str, BTreeMap<String, String>, &str)> {
    let text = text.trim_start_matches([' ', ',', '\t']);
    let end = text.find([' ', ',']).unwrap_or(text.len());
    let (scheme, mut rest) = text.split_at(end);
    if scheme.is_empty() {
        return None;
    }
    let mut parameters = BTreeMap::new();
    loop {
        let trimmed = rest.trim_start_matches([' ', ',', '\t']);
        let end = trimmed.find(['=', ' ', ',']).unwrap_or(trimmed.len());
        // A word without an equals sign is the next scheme.
        if !trimmed[end..].starts_with('=') {
            return Some((scheme, parameters, trimmed));
        }
        let (value, after) = value(&trimmed[end + 1..]);
        parameters.insert(trimmed[..end].to_ascii_lowercase(), value);
        rest = after;
    }
}

/// A token or a quoted string, and what follows it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut out = String::new();
    let mut characters = quoted.char_indices();
    while let Some((place, c)) = characters.next() {
        match c {
            '"' => return (out, &quoted[place + 1..]),
            '\\' => out.extend(characters.next().map(|(_, c)| c)),
            c => out.push(c),
        }
    }
    (out, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: &str, scope: &str) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.to_owned(),
            scope: scope.to_owned(),
        }
    }

    #[test]
    fn challenges_are_read() {
        let check = |header: &str, expected: &[Challenge]| assert_eq!(parse(header), expected, "{header}");
        check("Basic realm=\"x\"", &[Challenge::Basic]);
        check("basic", &[Challenge::Basic]);
        check(
            "Bearer realm=\"https://auth/t\",service=\"reg\",scope=\"repository:a/b:pull,push\"",
            &[bearer("https://auth/t", "reg", "repository:a/b:pull,push")],
        );
        check(
            "Negotiate, Bearer realm=r, service=\"a \\\"b\\\"\" , Basic realm=\"q\"",
            &[bearer("r", "a \"b\"", ""), Challenge::Basic],
        );
        check("Bearer service=x", &[]);
        for broken in ["", " , ,", "Bearer realm=\"", "=", "a=b=c", "Bearer =\"\\"] {
            let _ = parse(broken);
        }
    }
}
