//! `dhow login`.

use std::io::{BufRead as _, Read as _};

use crate::app::App;
use crate::credentials::{self, HUB, Login, Place};
use crate::failure::{Failure, Outcome};
use crate::flags::{Kind, Parsed, flag};
use crate::tree::{Command, Count, run};
use crate::{console, streams};

/// A secret is longer than this only by mistake.
const SECRET_LIMIT: u64 = 1 << 20;

#[rustfmt::skip] // One line per flag: it is a table.
pub(crate) static COMMAND: Command = Command {
    usage: "[OPTIONS] [SERVER]",
    about: "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
    aliases: "",
    count: Count::Between(0, 1),
    stop_early: false,
    flags: &[
        flag("password", 'p', Kind::Text, "string", "", "Password or Personal Access Token (PAT)"),
        flag("password-stdin", '\0', Kind::Bool, "", "", "Take the Password or Personal Access Token (PAT) from stdin"),
        flag("plain", '\0', Kind::Bool, "", "", "Keep the password in config.json in clear text, where docker finds it too"),
        flag("username", 'u', Kind::Text, "string", "", "Username"),
    ],
    run: run!(execute),
};

async fn execute(app: &App, args: &Parsed) -> Outcome {
    let (user, password) = given(args)?;
    let server = match args.arg(0) {
        "" => HUB.to_owned(),
        server => credentials::server_key(server),
    };
    // What is known already may still be good.
    if user.is_empty() && password.is_empty() {
        let known = credentials::find(app, &server)?;
        if !known.is_empty() {
            console::line(match known.user.as_str() {
                "" => "Authenticating with existing credentials...".to_owned(),
                user => format!("Authenticating with existing credentials... [Username: {user}]"),
            });
            match app.client()?.login(&json(&known)).await {
                Ok(reply) => {
                    console::line(format!("\n{}", reply.status));
                    return Ok(());
                }
                Err(error) => console::error(format!("Login did not succeed, error: {error}")),
            }
        }
    }
    let (user, password) = ask_for(user, password, &server)?;
    let mut login = Login {
        user,
        password,
        server,
        token: String::new(),
    };
    let reply = app.client()?.login(&json(&login)).await?;
    if !reply.identity_token.is_empty() {
        login.password.clear();
        login.token = reply.identity_token;
    }
    if let Place::Plain(file) = credentials::store(app, &login, args.on("plain"))? {
        console::error(format!(
            "\nWARNING! Your credentials are stored unencrypted in '{file}'.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n"
        ));
    }
    console::line(reply.status);
    Ok(())
}

fn json(login: &Login) -> Vec<u8> {
    serde_json::to_vec(login).unwrap_or_default()
}

/// Name and password as the flags give them.
fn given(args: &Parsed) -> Result<(String, String), Failure> {
    let (user, password) = (args.text("username").to_owned(), args.text("password").to_owned());
    if !password.is_empty() {
        console::error("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
        if args.on("password-stdin") {
            return Err(Failure::new(
                "--password and --password-stdin are mutually exclusive",
            ));
        }
    }
    if !args.on("password-stdin") {
        return Ok((user, password));
    }
    if user.is_empty() {
        return Err(Failure::new(
            "the --password-stdin option requires --username to be set",
        ));
    }
    let mut text = String::new();
    let read = std::io::stdin()
        .lock()
        .take(SECRET_LIMIT)
        .read_to_string(&mut text);
    read.map_err(|error| Failure::new(format!("read the password: {}", streams::cause(&error))))?;
    Ok((user, text.trim_end_matches(['\n', '\r']).to_owned()))
}

/// Asks for what is missing.
fn ask_for(user: String, password: String, server: &str) -> Result<(String, String), Failure> {
    if !user.is_empty() && !password.is_empty() {
        return Ok((user, password));
    }
    if !streams::is_terminal(0) {
        return Err(Failure::new(
            "Error: Cannot perform an interactive login from a non TTY device",
        ));
    }
    if server == HUB {
        console::line(
            "Log in with your Docker ID or email address to push and pull images from Docker Hub. If you don't have a Docker ID, head over to https://hub.docker.com/ to create one.",
        );
    }
    let user = match user.as_str() {
        "" => {
            console::print("Username: ");
            line()?
        }
        _ => user,
    };
    if user.is_empty() {
        return Err(Failure::new("Error: Non-null Username Required"));
    }
    let password = match password.as_str() {
        "" => {
            console::print("Password: ");
            let secret = streams::without_echo(line)?;
            console::line("");
            secret
        }
        _ => password,
    };
    if password.is_empty() {
        return Err(Failure::new("Error: Password Required"));
    }
    Ok((user, password))
}

fn line() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(SECRET_LIMIT).read_line(&mut text);
    read.map_err(|error| Failure::new(format!("read the answer: {}", streams::cause(&error))))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}
