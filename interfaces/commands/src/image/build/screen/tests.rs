//! The screen against a model of a terminal.

use super::model;
use super::*;

fn lines(texts: &[&str]) -> Vec<Line> {
    let line = |text: &&str| Line::new(Look::Done, *text, "1.0s");
    texts.iter().map(line).collect()
}

/// A terminal with two lines of a shell, and a picture below.
fn begun(rows: usize, columns: usize) -> (model::Screen, Screen) {
    let mut terminal = model::Screen::new(rows, columns);
    terminal.feed(b"$ before\r\n$ dhow build\r\n");
    (terminal, Screen::new(true))
}

/// The kernel makes CR LF of LF on the way to a terminal.
fn put(terminal: &mut model::Screen, text: &str) {
    terminal.feed(text.replace('\n', "\r\n").as_bytes());
}

#[test]
fn a_picture_is_drawn_in_the_place_of_the_one_before() {
    let (mut terminal, mut screen) = begun(10, 20);
    put(
        &mut terminal,
        &screen.draw(&lines(&["one", "two", "three"]), 10, 20),
    );
    put(&mut terminal, &screen.draw(&lines(&["uno", "two"]), 10, 20));
    let shown = [
        "$ before",
        "$ dhow build",
        "uno            1.0s",
        "two            1.0s",
    ];
    assert_eq!(terminal.text(), shown);
    assert!(terminal.cursor_shown());
    put(&mut terminal, &screen.clear(10, 20));
    assert_eq!(terminal.text(), ["$ before", "$ dhow build"]);
    assert_eq!(screen.clear(10, 20), "", "there is nothing to clear");
}

#[test]
fn long_and_wide_texts_are_cut_to_the_width() {
    for (text, shown) in [
        ("a text that is too long", "a text that... 1.0s"),
        (
            "\u{4e2d}\u{6587}\u{4e2d}\u{6587}\u{4e2d}\u{6587}\u{4e2d}\u{6587}",
            "\u{4e2d}\u{6587}\u{4e2d}\u{6587}\u{4e2d}...  1.0s",
        ),
        ("e\u{301}gal", "e\u{301}gal           1.0s"),
    ] {
        assert_eq!(laid_out(&lines(&[text])[0], 19), shown);
    }
    assert_eq!(laid_out(&lines(&["short"])[0], 4), "s...");
    assert_eq!(laid_out(&lines(&["short"])[0], 0), "");
}

#[test]
fn a_terminal_of_another_size_keeps_what_stands_above_and_one_picture() {
    for (rows, columns) in [(10, 10), (10, 7), (10, 40), (20, 33), (9, 20)] {
        let (mut terminal, mut screen) = begun(10, 20);
        let picture = lines(&["one", "two"]);
        put(&mut terminal, &screen.draw(&picture, 10, 20));
        terminal.resize(rows, columns);
        put(&mut terminal, &screen.draw(&picture, rows, columns));
        put(&mut terminal, &screen.draw(&picture, rows, columns));
        let text = terminal.text();
        let count = |word: &str| text.iter().filter(|line| line.contains(word)).count();
        assert_eq!(
            (count("one"), count("two")),
            (1, 1),
            "{rows}x{columns}: {text:#?}"
        );
        let above = text.concat().replace(' ', "");
        assert!(
            above.starts_with("$before$dhowbuildone"),
            "{rows}x{columns}: {text:#?}"
        );
    }
}

#[test]
fn what_programs_write_moves_no_cursor() {
    for (text, shown) in [
        ("\x1b[1;31mred\x1b[0m \x1b[2Jtext\x07", "red text"),
        ("10%\r20%\r100%\r", "100%"),
        ("\x1b]0;title\x07a\tb\x1b(Bc\x1b7", "a    bc"),
        ("\x1b]8;;http://a\x1b\\link", "link"),
        ("cut \x1b[3", "cut "),
        ("\u{202e}txt.exe", "txt.exe"),
        ("\u{9b}2Jx", "2Jx"),
    ] {
        assert_eq!(harmless(text), shown, "{text:?}");
    }
}
