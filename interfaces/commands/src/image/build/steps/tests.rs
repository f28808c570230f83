//! What the picture of a build is after this and that has happened.

use super::*;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn begin(steps: &mut Steps, step: usize, name: &str, now: u64) {
    let name = name.to_owned();
    steps.take(StepEvent::Started { step, name }, at(now));
}

fn say(steps: &mut Steps, step: usize, text: &str) {
    let (text, is_error) = (text.to_owned(), false);
    steps.take(StepEvent::Output { step, is_error, text }, at(0));
}

fn end(steps: &mut Steps, step: usize, error: &str, now: u64) {
    let error = error.to_owned();
    steps.take(StepEvent::Ended { step, error }, at(now));
}

fn shown(steps: &Steps, now: u64, rows: usize) -> Vec<String> {
    let text = |line: Line| format!("{} {}", line.text, line.right).trim_end().to_owned();
    steps.picture(at(now), rows).into_iter().map(text).collect()
}

#[test]
fn a_step_that_runs_shows_its_last_lines_and_is_folded_when_it_is_over() {
    let mut steps = Steps::default();
    begin(&mut steps, 1, "[1/2] FROM a", 0);
    steps.take(StepEvent::Cached { step: 1 }, at(0));
    end(&mut steps, 1, "", 1);
    begin(&mut steps, 2, "[2/2] RUN make", 1);
    for number in 1..=9 {
        say(&mut steps, 2, &format!("line {number}\n"));
    }
    say(&mut steps, 2, "10%\r20%");
    say(&mut steps, 2, "\r30%");
    let mut expected = vec![
        "[+] Building 5.0s (1/2)".to_owned(),
        " => CACHED [1/2] FROM a 1.0s".to_owned(),
        " => [2/2] RUN make 4.0s".to_owned(),
    ];
    expected.extend((5..=9).map(|number| format!(" => => # line {number}")));
    expected.push(" => => # 30%".to_owned());
    assert_eq!(shown(&steps, 5, 24), expected);

    end(&mut steps, 2, "", 6);
    steps.finish("sha256:1", &["docker.io/library/a:1".to_owned()], at(6));
    let whole = [
        "[+] Building 6.0s (3/3) FINISHED",
        " => CACHED [1/2] FROM a 1.0s",
        " => [2/2] RUN make 5.0s",
        " => exporting to image 0.0s",
        " => => writing image sha256:1",
        " => => naming to docker.io/library/a:1",
    ];
    assert_eq!(shown(&steps, 9, 2), whole, "all of it, whatever fits");
    assert_eq!(steps.epilogue(), "");
}

#[test]
fn what_is_pulled_has_a_line_each_until_it_is_here() {
    let mut steps = Steps::default();
    begin(&mut steps, 1, "[1/2] FROM a", 0);
    for (name, current) in [
        ("one: Waiting", 0),
        ("one: Downloading", 500),
        ("two: Downloading", 1000),
    ] {
        let name = name.to_owned();
        steps.take(
            StepEvent::Transfer {
                step: 1,
                name,
                current,
                total: current * 2,
            },
            at(0),
        );
    }
    let lines = [
        " => => one Downloading 500B / 1kB",
        " => => two Downloading 1kB / 2kB",
    ];
    assert_eq!(shown(&steps, 0, 24)[2..], lines);
    end(&mut steps, 1, "", 1);
    assert_eq!(shown(&steps, 1, 24).len(), 2);
}

#[test]
fn a_low_window_keeps_what_runs_and_then_what_ended_last() {
    let mut steps = Steps::default();
    for step in 1..=5 {
        begin(&mut steps, step, &format!("step {step}"), 0);
        if step != 2 {
            end(&mut steps, step, "", 0);
        }
    }
    say(&mut steps, 2, "a\nb\nc\n");
    let names = |rows| {
        shown(&steps, 0, rows)[1..]
            .join("|")
            .replace(" => ", "")
            .replace(" 0.0s", "")
    };
    assert_eq!(
        names(24),
        "step 1|step 2|=> # a|=> # b|=> # c|step 3|step 4|step 5"
    );
    assert_eq!(names(7), "step 2|=> # a|=> # b|=> # c|step 4|step 5");
    assert_eq!(names(4), "step 2|=> # b|=> # c");
    assert_eq!(names(2), "step 2");
    for rows in 1..12 {
        assert!(shown(&steps, 0, rows).len() <= rows.max(1), "{rows}");
    }
}

#[test]
fn a_failure_shows_what_the_step_said_and_warnings_come_last() {
    let mut steps = Steps::default();
    begin(&mut steps, 1, "[1/1] RUN false", 0);
    for number in 0..200 {
        say(&mut steps, 1, &format!("{number}\n"));
    }
    say(&mut steps, 1, "\x1b[31mlast words");
    let text = "odd".to_owned();
    steps.take(StepEvent::Warning { text }, at(0));
    end(&mut steps, 1, "exit code: 1", 1);
    steps.fail(at(1));
    let lines = ["[+] Building 1.0s (1/1) ERROR", " => ERROR [1/1] RUN false 1.0s"];
    assert_eq!(shown(&steps, 1, 24), lines);
    let epilogue = steps.epilogue();
    assert!(
        epilogue.starts_with("------\n > [1/1] RUN false:\n100\n101\n"),
        "{epilogue}"
    );
    assert!(
        epilogue.ends_with("199\nlast words\n------\n\n 1 warning found:\n - odd\n"),
        "{epilogue}"
    );
}

#[test]
fn a_line_without_an_end_takes_no_more_than_a_screen_can_show() {
    let mut steps = Steps::default();
    begin(&mut steps, 1, "RUN", 0);
    for _ in 0..100 {
        say(&mut steps, 1, &"\u{e9}x".repeat(1000));
    }
    assert!(steps.steps[0].pending.len() <= LONGEST);
    say(&mut steps, 1, "\nnext");
    assert_eq!(steps.steps[0].pending, "next");
}
