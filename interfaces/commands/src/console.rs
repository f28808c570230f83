//! Printing. A reader that went away (`dhow ps | head -1`) is not an error.

use std::io::Write as _;

/// Prints to standard output.
pub(crate) fn print(text: impl AsRef<str>) {
    bytes(text.as_ref().as_bytes());
}

/// Prints a line to standard output.
pub(crate) fn line(text: impl AsRef<str>) {
    let mut whole = text.as_ref().to_owned();
    whole.push('\n');
    bytes(whole.as_bytes());
}

/// Writes bytes to standard output at once.
pub(crate) fn bytes(data: &[u8]) {
    let mut out = std::io::stdout().lock();
    if out.write_all(data).and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

/// Prints a line to standard error.
pub(crate) fn error(text: impl AsRef<str>) {
    let mut whole = text.as_ref().to_owned();
    whole.push('\n');
    let _ = std::io::stderr().lock().write_all(whole.as_bytes());
}

/// Writes text to standard error as it is.
pub(crate) fn error_text(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Asks a question on standard output and reads the answer: yes only for `y`.
pub(crate) fn confirm(question: &str) -> bool {
    print(format!("{question} [y/N] "));
    let mut answer = String::new();
    match std::io::stdin().read_line(&mut answer) {
        Ok(n) if n > 0 => answer.trim().eq_ignore_ascii_case("y"),
        _ => false,
    }
}
