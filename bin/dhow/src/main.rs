//! The `dhow` program: hands its arguments to the commands and ends with their exit code.

fn main() {
    // A reader that goes away is noticed when writing; the signal would end us without a word.
    let words = std::env::args_os()
        .skip(1)
        .map(|w| w.to_string_lossy().into_owned())
        .collect();
    std::process::exit(commands::main(words));
}
