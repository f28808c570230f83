//! What workers do: small stories, each with an end that is known.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::house::{House, Trouble};
use super::random::Random;
use super::witness::{COUNTER, gap};

type Told = Result<(), Trouble>;

/// One story's needs.
struct Teller<'a> {
    house: &'a House,
    random: &'a mut Random,
    /// Of everything that the story makes.
    name: String,
}

type Story = (&'static str, for<'a, 'b> fn(&'b mut Teller<'a>) -> Told);

const STORIES: [Story; 8] = [
    ("once", once),
    ("life", life),
    ("web", web),
    ("volume", volume),
    ("network", network),
    ("build", build),
    ("registry", registry),
    ("archive", archive),
];

/// Tells stories until the time is over.
pub(super) fn tell(house: &House, worker: u64, mut random: Random, end: Instant) {
    let mut number = 0_u64;
    while Instant::now() < end {
        number += 1;
        let Some((title, story)) = random.of(&STORIES) else {
            return;
        };
        let mut teller = Teller {
            house,
            random: &mut random,
            name: format!("story-{worker}-{number}"),
        };
        let told = story(&mut teller);
        teller.forget();
        match told {
            Ok(()) => house.count(title, true),
            Err(Trouble::Disturbed) => house.count(title, false),
            Err(Trouble::Wrong(_)) if house.is_struck(&teller.name) => house.count(title, false),
            Err(Trouble::Wrong(why)) => house.wrong(format!("{title}, {}: {why}", teller.name)),
        }
    }
}

fn expect(what: &str, found: &str, wanted: &str) -> Told {
    match found == wanted {
        true => Ok(()),
        false => Err(Trouble::Wrong(format!("{what}: {found:?} instead of {wanted:?}"))),
    }
}

impl Teller<'_> {
    /// Removes whatever the story may have made.
    fn forget(&self) {
        let (house, name) = (self.house, self.name.as_str());
        house.away(&["rm", "--force", "--volumes", name]);
        // A client that was cut off may have started what nobody waits for any more.
        house.away(&["rm", "--force", "--volumes", &format!("{name}-b")]);
        house.away(&["network", "rm", name]);
        house.away(&["volume", "rm", name]);
        house.away(&["rmi", "--force", name]);
        house.away(&["rmi", "--force", &house.repository(name)]);
        let _ = fs::remove_dir_all(house.daemon.folder().join(name));
    }

    fn folder(&self) -> std::path::PathBuf {
        let folder = self.house.daemon.folder().join(&self.name);
        fs::create_dir_all(&folder).expect("a folder of the story's own");
        folder
    }
}

/// A program's words and its exit code arrive.
fn once(it: &mut Teller<'_>) -> Told {
    let (word, code) = (it.random.word(), it.random.below(100) as i32 + 1);
    let script = format!("echo {word}; exit {code}");
    let network = ["bridge", "none", "host"][it.random.below(3) as usize];
    let name = format!("{}-b", it.name);
    let words = [
        "run",
        "--rm",
        "--name",
        &name,
        "--network",
        network,
        "busybox",
        "sh",
        "-c",
        &script,
    ];
    match it.house.run(&words) {
        Err(Trouble::Wrong(why)) if why.contains(&format!("code: {code},")) && why.contains(&word) => Ok(()),
        Err(other) => Err(other),
        Ok(output) => Err(Trouble::Wrong(format!("code {code} was expected: {output:?}"))),
    }
}

/// Starts, stops, execs; and a log without a gap.
fn life(it: &mut Teller<'_>) -> Told {
    let (house, name) = (it.house, it.name.clone());
    let name = name.as_str();
    house.run(&[
        "create", "--name", name, "--memory", "64m", "busybox", "sh", "-c", COUNTER,
    ])?;
    house.run(&["start", name])?;
    for _ in 0..1 + it.random.below(6) {
        match it.random.below(5) {
            0 => drop(house.run(&["restart", "--time", "0", name])?),
            1 => {
                house.run(&["stop", "--time", "0", name])?;
                expect(
                    "the state",
                    &house.text(&["inspect", "--format", "{{.State.Status}}", name])?,
                    "exited",
                )?;
                house.run(&["start", name])?;
            }
            2 => {
                house.run(&["pause", name])?;
                house.run(&["unpause", name])?;
            }
            3 => {
                house.run(&["kill", name])?;
                house.run(&["wait", name])?;
                house.run(&["start", name])?;
            }
            _ => {
                let word = it.random.word();
                expect("exec", &house.text(&["exec", name, "echo", &word])?, &word)?;
            }
        }
    }
    match gap(&house.run(&["logs", name])?.stdout, true) {
        None => Ok(()),
        Some(gap) => Err(Trouble::Wrong(format!("the log has a gap: {gap}"))),
    }
}

/// A published port answers.
fn web(it: &mut Teller<'_>) -> Told {
    let (house, name, word) = (it.house, it.name.as_str(), it.random.word());
    let script = format!("mkdir /www; echo {word} > /www/index.html; exec httpd -f -p 80 -h /www");
    house.run(&[
        "run",
        "--detach",
        "--name",
        name,
        "--publish",
        "127.0.0.1::80",
        "busybox",
        "sh",
        "-c",
        &script,
    ])?;
    let port = house.text(&["port", name, "80"])?;
    let end = Instant::now() + e2e::LONGEST;
    let mut last = String::new();
    while Instant::now() < end && !house.is_struck(name) {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(&port)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        match ask() {
            Ok(text) if text.contains(&word) => return Ok(()),
            other => last = format!("{other:?}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(Trouble::Wrong(format!("{port} does not answer: {last}")))
}

/// What one container writes, another one reads.
fn volume(it: &mut Teller<'_>) -> Told {
    let (house, name, word) = (it.house, it.name.as_str(), it.random.word());
    house.run(&["volume", "create", name])?;
    let (mount, script) = (format!("{name}:/v"), format!("echo {word} > /v/file"));
    let other = format!("{name}-b");
    let run = [
        "run",
        "--rm",
        "--name",
        &other,
        "--network",
        "none",
        "-v",
        &mount,
        "busybox",
    ];
    house.run(&[&run[..], &["sh", "-c", &script]].concat())?;
    expect(
        "the volume",
        &house.text(&[&run[..], &["cat", "/v/file"]].concat())?,
        &word,
    )
}

/// Two containers of one network reach each other.
fn network(it: &mut Teller<'_>) -> Told {
    let (house, name) = (it.house, it.name.as_str());
    house.run(&["network", "create", name])?;
    house.run(&[
        "run",
        "--detach",
        "--name",
        name,
        "--network",
        name,
        "busybox",
        "sleep",
        "1000",
    ])?;
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = house.text(&["inspect", "--format", format, name])?;
    let other = format!("{name}-b");
    let ping = [
        "run",
        "--rm",
        "--name",
        &other,
        "--network",
        name,
        "busybox",
        "ping",
        "-c",
        "1",
        "-W",
        "30",
    ];
    house.run(&[&ping[..], &[&address]].concat())?;
    Ok(())
}

/// What a step writes is in the image.
fn build(it: &mut Teller<'_>) -> Told {
    let (house, word, folder) = (it.house, it.random.word(), it.folder());
    let name = it.name.as_str();
    let text =
        format!("FROM busybox\nCOPY Dockerfile /copy\nRUN echo {word} > /word\nCMD [\"cat\", \"/word\"]\n");
    fs::write(folder.join("Dockerfile"), text).expect("a Dockerfile");
    house.run(&["build", "--quiet", "--tag", name, &folder.to_string_lossy()])?;
    let other = format!("{name}-b");
    let run = ["run", "--rm", "--name", &other, "--network", "none", name];
    expect("the built image", &house.text(&run)?, &word)
}

/// A container that has written a word, and ended.
fn write_word(house: &House, name: &str, word: &str) -> Told {
    let script = format!("echo {word} > /word");
    let run = [
        "run",
        "--name",
        name,
        "--network",
        "none",
        "busybox",
        "sh",
        "-c",
        &script,
    ];
    house.run(&run).map(drop)
}

/// What is pushed can be pulled.
fn registry(it: &mut Teller<'_>) -> Told {
    let (house, name, word) = (it.house, it.name.as_str(), it.random.word());
    let remote = house.repository(name);
    write_word(house, name, &word)?;
    house.run(&["commit", name, &remote])?;
    house.run(&["push", "--quiet", &remote])?;
    house.run(&["rmi", &remote])?;
    house.run(&["pull", "--quiet", &remote])?;
    let other = format!("{name}-b");
    let run = [
        "run",
        "--rm",
        "--name",
        &other,
        "--network",
        "none",
        &remote,
        "cat",
        "/word",
    ];
    expect("the pulled image", &house.text(&run)?, &word)
}

/// What is saved can be loaded.
fn archive(it: &mut Teller<'_>) -> Told {
    let (house, word, folder) = (it.house, it.random.word(), it.folder());
    let name = it.name.as_str();
    let file = folder.join("image.tar").to_string_lossy().into_owned();
    write_word(house, name, &word)?;
    house.run(&["commit", name, name])?;
    house.run(&["save", "--output", &file, name])?;
    house.run(&["rmi", name])?;
    house.run(&["load", "--quiet", "--input", &file])?;
    let other = format!("{name}-b");
    let run = [
        "run",
        "--rm",
        "--name",
        &other,
        "--network",
        "none",
        name,
        "cat",
        "/word",
    ];
    expect("the loaded image", &house.text(&run)?, &word)
}
