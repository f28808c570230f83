//! `--progress=tty`: what a person sees on a terminal.

use std::fs;

use e2e::{Client, Daemon, Screen, Terminal, daemon};

fn prepared() -> Option<(Daemon, Client)> {
    let daemon = daemon()?;
    daemon.load_busybox();
    let dhow = e2e::clients(&daemon).into_iter().find(Client::is_dhow)?;
    Some((daemon, dhow))
}

/// Builds in a window of 14 rows and 60 columns.
fn begun(dhow: &Client, text: &str, arguments: &[&str]) -> (tempfile::TempDir, Terminal, Screen) {
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("Dockerfile"), text).expect("file");
    let path = folder.path().display().to_string();
    let mut command = dhow.command(["build"].iter().chain(arguments).chain([&path.as_str()]));
    command.env_remove("NO_COLOR").env_remove("BUILDKIT_PROGRESS");
    let terminal = Terminal::start(&command, 14, 60);
    (folder, terminal, Screen::new(14, 60))
}

fn count(text: &[String], word: &str) -> usize {
    text.iter().filter(|line| line.contains(word)).count()
}

#[test]
fn on_a_terminal_the_steps_are_drawn_and_folded_when_they_are_over() {
    let Some((_daemon, dhow)) = prepared() else { return };
    let text = "FROM busybox\nENV a=b\nRUN seq 100 130 && printf '\\033[2J\\033[31mred'\nRUN echo a very long line that no window has the room for\n";
    let (_folder, terminal, mut screen) = begun(&dhow, text, &["-t", "drawn:1"]);
    assert_eq!(terminal.ended_on(&mut screen), 0);
    let shown = screen.text();
    assert!(
        shown[0].starts_with("[+] Building ") && shown[0].ends_with("s (4/4) FINISHED"),
        "{shown:#?}"
    );
    assert!(shown[1].starts_with(" => [1/3] FROM busybox  "), "{shown:#?}");
    assert!(shown[2].starts_with(" => [2/3] RUN seq 100 130"), "{shown:#?}");
    assert!(shown[3].starts_with(" => [3/3] RUN echo a very long line that") && shown[3].contains("... "));
    assert!(shown[4].starts_with(" => exporting to image  "), "{shown:#?}");
    assert!(shown[5].starts_with(" => => writing image sha256:"), "{shown:#?}");
    assert_eq!(shown[6], " => => naming to docker.io/library/drawn:1");
    assert_eq!(shown.len(), 7, "{shown:#?}");
    assert!(screen.cursor_shown());

    let (_folder, terminal, mut screen) = begun(&dhow, text, &["-t", "drawn:1"]);
    assert_eq!(terminal.ended_on(&mut screen), 0);
    assert_eq!(count(&screen.text(), " => CACHED ["), 2, "{:#?}", screen.text());
}

#[test]
fn a_window_of_another_size_has_a_whole_picture_and_a_failure_its_last_words() {
    let Some((_daemon, dhow)) = prepared() else { return };
    let text = "FROM busybox\nRUN true\nRUN seq 100 130; sleep 1000000\n";
    let (_folder, mut terminal, mut screen) = begun(&dhow, text, &["--progress", "tty"]);
    let whole = |text: &[String]| {
        let Some(first) = text.iter().rposition(|line| line.starts_with("[+] Building ")) else {
            return false;
        };
        let below = &text[first..];
        below.len() == 10
            && below[2].starts_with(" => [2/3] RUN true ")
            && below[3].starts_with(" => [3/3] RUN seq 100 ")
            && below[4] == " => => # 125"
            && below[9] == " => => # 130"
            && below.iter().all(|line| line.chars().count() < 60)
    };
    terminal.show_until(&mut screen, "six lines are shown", |text| {
        text.len() == 10 && whole(text)
    });
    for (rows, columns) in [(14, 33), (12, 90), (14, 60)] {
        terminal.resize(&mut screen, rows, columns);
        // The right end of the line says for which width it was drawn.
        terminal.show_until(&mut screen, "it is drawn for the new size", |text| {
            let first = text.iter().rposition(|line| line.starts_with("[+] Building "));
            let step = first.and_then(|first| text.get(first + 2));
            step.is_some_and(|line| line.len() == usize::from(columns) - 1) && (whole(text) || columns == 90)
        });
    }
    let running = dhow.ok(["ps", "--quiet"]);
    dhow.ok(["kill", running.trim()]);
    assert_eq!(terminal.ended_on(&mut screen), 137);
    let shown = screen.text();
    let last = shown.iter().rposition(|line| line.starts_with("[+] Building "));
    let shown = &shown[last.expect("a picture")..];
    assert!(shown[0].ends_with(" ERROR"), "{shown:#?}");
    assert!(
        shown[3].starts_with(" => ERROR [3/3] RUN seq 100 130"),
        "{shown:#?}"
    );
    assert_eq!(
        (shown[4].as_str(), shown[5].as_str(), shown[6].as_str()),
        ("------", " > [3/3] RUN seq 100 130; sleep 1000000:", "100")
    );
    assert_eq!(shown[36], "130", "{shown:#?}");
    assert_eq!(shown[37], "------", "{shown:#?}");
    // The line is longer than the window.
    let error = shown[38..].concat().replace(' ', "");
    assert!(error.ends_with("returnedanon-zerocode:137"), "{error}");
}

#[test]
fn without_a_terminal_nothing_is_drawn() {
    let Some((_daemon, dhow)) = prepared() else { return };
    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("Dockerfile"), "FROM busybox\n").expect("file");
    let refused = super::build(&dhow, folder.path(), &["--progress", "tty"], None);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("provided file is not a console"),
        "{refused:?}"
    );
    let lines = super::build(&dhow, folder.path(), &["--progress", "auto"], None);
    assert!(lines.stdout.starts_with("Step 1/1 : FROM busybox\n"), "{lines:?}");
}
